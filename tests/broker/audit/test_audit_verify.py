"""``manage.py audit_verify`` says by a line and its status whether the record is intact, and records it."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from broker.audit.models import AuditEntry, AuditHead
from broker.audit.queries import latest_verification
from tests.broker.audit.build import bulk_build

Tamper = Callable[..., None]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("audit_verify", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def last_entry() -> AuditEntry:
    return AuditEntry.objects.filter(log="main").latest("seq")


def test_an_intact_record_is_said_and_recorded(db):
    entries = bulk_build(connection, 3)
    said = run()
    assert said.startswith(f"Record intact: {entries:,} entries")
    entry = last_entry()
    assert (entry.event, entry.actor, entry.object_ref) == ("record.verified", "system:audit_verify", "main")
    assert entry.data["entries"] == entry.data["head_seq"] == entries
    row = latest_verification()
    assert row is not None
    assert (row.ok, row.entries, row.problem, row.first_bad_seq) == (True, entries, "", None)
    assert bytes(row.head_hash or b"").hex() == entry.data["head_hash"]


def test_a_broken_record_is_said_and_recorded_and_ends_with_one(tamper):
    bad = bulk_build(connection, 3) - 1
    tamper("UPDATE audit_entry SET body = replace(body, 'alice', 'bob') WHERE log = 'main' AND seq = %s", bad)
    with pytest.raises(CommandError, match=rf"Record broken at entry {bad:,} \(altered\)") as failure:
        run()
    assert failure.value.returncode == 1
    entry = last_entry()
    assert (entry.event, entry.data["first_bad_seq"], entry.data["problem"]) == (
        "record.broken",
        bad,
        "altered",
    )
    row = latest_verification()
    assert row is not None
    assert (row.ok, row.first_bad_seq, row.problem, row.entries) == (False, bad, "altered", bad - 1)


def test_a_record_too_broken_to_be_written_to_is_still_reported(tamper):
    bulk_build(connection, 3)
    tamper("DELETE FROM audit_head WHERE log = 'main'")
    with pytest.raises(CommandError, match=r"\(head\)") as failure:
        run()
    assert failure.value.returncode == 1
    row = latest_verification()
    assert row is not None
    assert (row.ok, row.problem) == (False, "head")


def test_nothing_is_recorded_if_asked_not_to(db):
    before = AuditHead.objects.get(log="main").seq
    run("--no-record")
    assert AuditHead.objects.get(log="main").seq == before
    assert latest_verification() is None


def test_only_the_latest_result_is_kept_in_the_row(db):
    run()
    first = latest_verification()
    run()
    second = latest_verification()
    assert first is not None
    assert second is not None
    assert second.entries == first.entries + 1
    assert second.at >= first.at


def test_a_log_that_does_not_exist_is_a_mistake_and_not_a_broken_record(db):
    with pytest.raises(CommandError, match="Unknown log 'nowhere'") as failure:
        run("--log", "nowhere")
    assert failure.value.returncode == 2
