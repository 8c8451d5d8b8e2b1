"""The append functions: one entry or many, one after another, whoever calls."""

import json
import threading
from functools import partial

import pytest
from django.db import DatabaseError, connection, transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.models import AuditBacklog, AuditEntry, AuditHead
from broker.audit.record import record
from broker.audit.verify import verify
from sessions_app.models import Sweeper
from tests.broker.audit.build import AT, bulk_build
from tests.support.waits import happens
from tests.support.world.acts import Started, at_once

ALICE = Actor(name="alice", id=7, kind="person")


def head_seq() -> int:
    return AuditHead.objects.get(log="main").seq


def append_many(refs: list[str | None], datas: list[str | None], *, log: str = "trial") -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append_many("
            "%s, %s, 'grant.ended', 'system:sweep', NULL, 'grant', %s::text[], %s::jsonb[])",
            [log, AT, refs, datas],
        )
        (seq,) = cursor.fetchone()
    return int(seq)


def test_many_entries_are_the_same_as_one_by_one(trial, check):
    assert append_many(["GR-1", "GR-2"], ['{"a": 1}', '{"a": 2}']) == 2
    for ref, data in (("GR-1", '{"a": 1}'), ("GR-2", '{"a": 2}')):
        append_many([ref], [data])
    rows = list(AuditEntry.objects.filter(log=trial).order_by("seq"))
    assert [row.body for row in rows[:2]] == [row.body for row in rows[2:]]
    assert [row.object_ref for row in rows] == ["GR-1", "GR-2"] * 2
    assert [row.data for row in rows] == [{"a": 1}, {"a": 2}] * 2
    assert check().ok


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
def test_a_batch_that_does_not_fit_together_is_refused(ten, check, refs, datas):
    with pytest.raises(DatabaseError), transaction.atomic():
        append_many(refs, datas)
    assert check().entries == 10


def test_a_log_that_does_not_exist_takes_nothing(db):
    with pytest.raises(DatabaseError, match="no log named"), transaction.atomic():
        append_many(["GR-1"], ["{}"], log="nowhere")


def test_a_rollback_leaves_no_gap(db):
    before = head_seq()
    with transaction.atomic():
        bulk_build(connection, 5)
        transaction.set_rollback(True)
    assert head_seq() == before
    assert bulk_build(connection, 1) == before + 1
    assert verify(connection=connection).ok


def tell(ref: str, **data: int) -> None:
    record(event=Event.COMMAND_ALLOWED, actor=ALICE, object_type="command", object_ref=ref, data=data, now=AT)


def told(refs: set[str]) -> list[str]:
    return list(
        AuditEntry.objects.filter(object_ref__in=refs).order_by("seq").values_list("object_ref", flat=True)
    )


def test_nobody_waits_for_an_act_that_is_under_way(stint_db):
    def at_once() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # It would wait for as long as the act is under way; a lock of the server's own is held for a
            # moment.
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            tell("GR-B")

    with transaction.atomic():
        tell("GR-A")
        assert Started(at_once).result() is None
        assert told({"GR-A", "GR-B"}) == ["GR-B"]
    assert told({"GR-A", "GR-B"}) == ["GR-B", "GR-A"]


def test_entries_of_one_act_stand_together_in_their_order(stint_db):
    def others() -> None:
        for number in range(5):
            with transaction.atomic():
                tell(f"GR-{number}")

    with transaction.atomic():
        for turn in range(3):
            tell("GR-A", turn=turn)
            assert Started(others).result() is None
    mine = AuditEntry.objects.filter(object_ref="GR-A").order_by("seq")
    assert [entry.data["turn"] for entry in mine] == [0, 1, 2]
    assert mine[2].seq - mine[0].seq == 2
    assert verify(connection=connection).ok


def test_what_is_taken_back_within_an_act_leaves_no_entry(stint_db):
    with transaction.atomic():
        tell("GR-A")
        with transaction.atomic():
            tell("GR-B")
            transaction.set_rollback(True)
        tell("GR-C")
    assert told({"GR-A", "GR-B", "GR-C"}) == ["GR-A", "GR-C"]


@pytest.fixture
def held(stint_db, owner_connection):
    """Somebody has the record, for the whole test."""
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        yield


def act(*, ends: bool) -> None:
    """An act that gives access, in which something may end as well."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
        Sweeper.objects.create(name="GR-A", seen_at=AT)
        if ends:
            record_end(
                event=Event.GRANT_ENDED, actor=ALICE, object_type="grant", object_ref="GR-A", data={}, now=AT
            )
        tell("GR-A")


@pytest.mark.parametrize("ends", [False, True])
def test_an_act_that_can_not_be_recorded_with_its_commit_is_none(held, ends):
    with pytest.raises(DatabaseError, match="lock timeout"):
        act(ends=ends)
    assert not Sweeper.objects.filter(name="GR-A").exists()
    assert not AuditBacklog.objects.exists()
    assert told({"GR-A"}) == []


def test_nothing_stays_of_acts_that_are_over(stint_db, owner_connection):
    with transaction.atomic():
        tell("GR-A")
    with transaction.atomic():
        tell("GR-B")
        transaction.set_rollback(True)
    assert owner_connection.execute("SELECT count(*) FROM audit_pending").fetchone() == (0,)


def test_appends_at_the_same_time_make_one_chain_without_gaps(stint_db):
    threads, each = 8, 200
    before = head_seq()

    def run(number):
        for turn in range(each):
            with transaction.atomic():
                tell(f"GR-{number}", turn=turn)

    assert at_once(*(partial(run, number) for number in range(threads))) == [None] * threads
    verdict = verify(connection=connection)
    assert verdict.ok, verdict.detail
    assert verdict.entries == before + threads * each
    for number in range(threads):
        mine = AuditEntry.objects.filter(object_ref=f"GR-{number}", seq__gt=before).order_by("seq")
        assert [json.loads(row.body)["data"]["turn"] for row in mine] == list(range(each))


def test_a_verification_is_not_disturbed_by_appends(stint_db):
    begun, stop = threading.Event(), threading.Event()

    def write():
        while not stop.is_set():
            bulk_build(connection, 20)
            begun.set()

    writer = Started(write)
    try:
        verdicts = [verify(connection=connection)]
        happens(begun)
        verdicts += [verify(connection=connection) for _ in range(15)]
    finally:
        stop.set()
    assert writer.result() is None
    assert all(verdict.ok for verdict in verdicts), verdicts
    assert verdicts[-1].entries > verdicts[0].entries
