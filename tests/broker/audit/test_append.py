"""The append functions: one entry or many, one after another, whoever calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import AuditEntry, AuditHead
from broker.audit.record import record
from broker.audit.verify import Verdict, verify
from tests.broker.audit.build import AT, bulk_build

ALICE = Actor(name="alice", id=7, kind="person")


def head_seq() -> int:
    return AuditHead.objects.get(log="main").seq


def append_many(refs: list[str | None], datas: list[str | None], *, log: str = "trial") -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append_many("
            "%s, %s, 'grant.ended', 'system:sweep', 'grant', %s::text[], %s::jsonb[])",
            [log, AT, refs, datas],
        )
        (seq,) = cursor.fetchone()
    return int(seq)


def test_many_entries_are_the_same_as_one_by_one(trial: str, check: Callable[..., Verdict]) -> None:
    assert append_many(["GR-1", "GR-2"], ['{"a": 1}', '{"a": 2}']) == 2
    for ref, data in (("GR-1", '{"a": 1}'), ("GR-2", '{"a": 2}')):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT audit_append(%s, %s, 'grant.ended', 'system:sweep', NULL, 'grant', %s, %s::jsonb)",
                [trial, AT, ref, data],
            )
    rows = list(AuditEntry.objects.filter(log=trial).order_by("seq"))
    assert [row.body for row in rows[:2]] == [row.body for row in rows[2:]]
    assert [row.object_ref for row in rows] == ["GR-1", "GR-2"] * 2
    assert [row.data for row in rows] == [{"a": 1}, {"a": 2}] * 2
    assert check().ok


def test_an_empty_batch_appends_nothing(ten: str, check: Callable[..., Verdict]) -> None:
    assert append_many([], []) == 10
    assert check().entries == 10


@pytest.mark.parametrize(
    ("refs", "datas"),
    [
        (["GR-1"], []),
        (["GR-1"], ["{}", "{}"]),
        (["GR-1"], ["[]"]),
        (["GR-1"], ["1"]),
        (["GR-1"], [None]),
        ([None], ["{}"]),
        ([""], ["{}"]),
    ],
)
def test_a_batch_that_does_not_fit_together_is_refused(
    ten: str, check: Callable[..., Verdict], refs: list[str | None], datas: list[str | None]
) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        append_many(refs, datas)
    assert check().entries == 10


def test_a_log_that_does_not_exist_takes_nothing(db: None) -> None:
    with pytest.raises(DatabaseError, match="no log named"), transaction.atomic():
        append_many(["GR-1"], ["{}"], log="nowhere")


def test_a_rollback_leaves_no_gap(db: None) -> None:
    before = head_seq()
    with transaction.atomic():
        bulk_build(connection, 5)
        transaction.set_rollback(True)
    assert head_seq() == before
    assert bulk_build(connection, 1) == before + 1
    assert verify(connection=connection).ok


def test_appends_at_the_same_time_make_one_chain_without_gaps(stint_db: Any) -> None:
    threads, each = 8, 200
    before = head_seq()
    seqs: list[int] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        try:
            for turn in range(each):
                with transaction.atomic():
                    seq = record(
                        event=Event.COMMAND_ALLOWED,
                        actor=ALICE,
                        object_type="command",
                        object_ref=f"GR-{number}",
                        data={"turn": turn},
                        now=AT,
                    )
                with lock:
                    seqs.append(seq)
        finally:
            connection.close()

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert sorted(seqs) == list(range(before + 1, before + threads * each + 1))
    verdict = verify(connection=connection)
    assert verdict.ok, verdict.detail
    assert verdict.entries == before + threads * each
    for number in range(threads):
        mine = AuditEntry.objects.filter(object_ref=f"GR-{number}", seq__gt=before).order_by("seq")
        assert [json.loads(row.body)["data"]["turn"] for row in mine] == list(range(each))


def test_a_verification_is_not_disturbed_by_appends(stint_db: Any) -> None:
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                bulk_build(connection, 20)
                begun.set()
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        verdicts = [verify(connection=connection)]
        assert begun.wait(60)
        verdicts += [verify(connection=connection) for _ in range(15)]
    finally:
        stop.set()
        writer.join(timeout=60)
    assert all(verdict.ok for verdict in verdicts), verdicts
    assert verdicts[-1].entries > verdicts[0].entries
