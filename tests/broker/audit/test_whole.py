"""The whole record is verified once a day, a part at a time, and what was added to it meanwhile."""

import datetime as dt

import pytest
from django.db import connection

from broker.audit.actor import Actor
from broker.audit.again import verify_onwards
from broker.audit.checkpoint import make_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.models import AuditHead, AuditReading, AuditVerification
from broker.audit.whole import EVERY, begin_whole, verify_part, whole_is_due
from tests.broker.audit.build import AT, bulk_build, rechain

PART = 10
VERIFIER = Actor.system("verify")
NOW = AT + dt.timedelta(days=1)


def read(*, now: dt.datetime = NOW):
    return verify_part(connection=connection, actor=VERIFIER, now=now, most=PART)


def read_all(*, now: dt.datetime = NOW, most: int = 100):
    """Read parts to the end. Returns how many there were, and the verdict."""
    for number in range(1, most):
        if (verdict := read(now=now)) is not None:
            return number, verdict
    raise AssertionError


def last() -> AuditVerification:
    return AuditVerification.objects.get(log="main")


@pytest.fixture
def record(tamper):
    """The main log with 35 entries, of which 25 are signed."""
    signer(now=AT)
    bulk_build(connection, 25 - length())
    make_checkpoint(now=AT)
    bulk_build(connection, 10, first=26)
    return length()


def length() -> int:
    return AuditHead.objects.get(log="main").seq


def test_it_is_read_in_parts_and_counts_from_when_the_first_was_read(record):
    parts, verdict = (read(), read(), read_all(now=NOW + dt.timedelta(hours=3)))[2]
    assert (parts, verdict.ok, verdict.entries, verdict.signed) == (2, True, record, 25)
    row = last()
    assert (row.ok, row.entries, row.whole_at, row.at) == (True, record, NOW, NOW + dt.timedelta(hours=3))
    assert not AuditReading.objects.exists()


def test_a_log_that_ends_with_a_part_is_whole(record):
    bulk_build(connection, 40 - record, first=36)
    assert read_all()[1].entries == 40


def test_what_was_appended_and_signed_while_it_was_read_is_part_of_it(record):
    read(), read(), read()
    bulk_build(connection, 4, first=36)
    make_checkpoint(now=NOW)
    bulk_build(connection, 11, first=40)
    _, verdict = read_all()
    assert (verdict.ok, verdict.entries, verdict.signed) == (True, 50, 39)


@pytest.mark.parametrize("seq", [5, 15, 30])
def test_an_entry_that_was_altered_is_found_in_whatever_part_it_is(record, tamper, seq):
    tamper(
        "UPDATE audit_entry SET body = replace(body, 'alice', 'nobody') WHERE log = 'main' AND seq = %s", seq
    )
    _, verdict = read_all()
    assert (verdict.ok, verdict.problem, verdict.first_bad_seq) == (False, "altered", seq)
    assert (last().ok, last().entries, last().first_bad_seq) == (False, seq - 1, seq)
    assert whole_is_due(now=NOW)


def test_a_record_that_was_written_anew_differs_from_what_was_signed(record, tamper):
    rechain(tamper, 3, record)
    assert read_all()[1].problem == "checkpoint"


def test_an_entry_that_was_altered_where_it_goes_on_is_found(record, tamper):
    read()
    rechain(tamper, 10, record)
    assert read_all()[1].problem == "rewritten"


@pytest.mark.parametrize("change", [{"sealed": b"\1" * 90}, {"sealed": b""}])
def test_nobody_has_it_skip_what_was_altered_by_the_row_that_says_where_it_goes_on(record, tamper, change):
    read(), read()
    tamper("UPDATE audit_entry SET body = replace(body, 'alice', 'nobody') WHERE log = 'main' AND seq = 5")
    AuditReading.objects.update(seq=34, **change)
    assert read_all()[1].first_bad_seq == 5


def test_it_is_due_once_a_day_when_somebody_asked_and_until_its_end(record):
    assert whole_is_due(now=NOW)
    read_all()
    assert not whole_is_due(now=NOW + EVERY - dt.timedelta(seconds=1))
    assert whole_is_due(now=NOW + EVERY)
    begin_whole(now=NOW)
    assert whole_is_due(now=NOW)
    read_all()
    assert not whole_is_due(now=NOW)


def test_between_that_only_what_was_added_is_read_however_much_it_is(record):
    read_all()
    bulk_build(connection, 20, first=36 + 1)
    before = length()
    verdict = verify_onwards(connection=connection, actor=VERIFIER, now=NOW, most=None)
    assert verdict.ok
    assert (last().first_seq, last().entries, last().whole_at) == (record + 1, before, NOW)
