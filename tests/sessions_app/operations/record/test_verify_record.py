"""Having the record read because somebody asked."""

import pytest
from django.db import connection

from broker.audit.actor import Actor
from broker.audit.checkpoint import make_checkpoint
from broker.audit.models import AuditHead, AuditVerification
from broker.audit.note import note_verification
from broker.audit.verify import verify
from sessions_app.operations.record.verify_record import CheckpointsUnreadable, NotForYou, verify_record
from tests.support.world.acts import after, last


def whole(world) -> None:
    world.request()
    note_verification(verdict=verify(connection=connection), actor=Actor.system("verify"), now=world.now)


def test_it_goes_on_from_the_entry_that_was_verified_last(world):
    whole(world)
    before = AuditVerification.objects.get()
    world.request()
    verdict = verify_record(actor=world.admin, now=after(world, minutes=5))
    assert verdict is not None
    assert verdict.ok
    row = AuditVerification.objects.get()
    assert (row.first_seq, row.whole_at, row.at) == (before.entries + 1, world.now, after(world, minutes=5))
    assert row.entries == verdict.head_seq == AuditHead.objects.get(log="main").seq - 1
    entry = last("record.verified")
    assert entry.actor == "admin"
    assert entry.data["first_seq"] == before.entries + 1


def test_without_a_sound_verification_the_worker_reads_all(world):
    assert verify_record(actor=world.admin, now=world.now) is None
    whole(world)
    AuditVerification.objects.update(ok=False, first_bad_seq=3)
    assert verify_record(actor=world.admin, now=world.now) is None
    assert not AuditVerification.objects.get().ok


def test_an_entry_that_is_no_longer_the_one_that_was_verified_is_a_break(world):
    whole(world)
    AuditVerification.objects.update(head_hash=b"\1" * 32)
    world.request()
    verdict = verify_record(actor=world.admin, now=world.now)
    assert verdict is not None
    assert (verdict.ok, verdict.problem) == (False, "rewritten")
    row = AuditVerification.objects.get()
    assert (row.ok, row.entries) == (False, row.first_bad_seq - 1)
    assert "has changed since the last verification" in row.detail


def test_it_compares_the_record_with_what_was_signed_last(world, settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    whole(world)
    made = make_checkpoint(now=world.now)
    verdict = verify_record(actor=world.admin, now=world.now)
    assert (verdict.ok, verdict.signed) == (True, made.size)
    assert last("record.verified").data["signed"] == made.size


def test_a_file_of_checkpoints_that_can_not_be_read_is_said(world, settings, tmp_path):
    whole(world)
    settings.CHECKPOINTS_FILE = tmp_path
    with pytest.raises(CheckpointsUnreadable, match="outside the database can't be read"):
        verify_record(actor=world.admin, now=world.now)


def test_it_is_for_administrators(world):
    for who in (world.alice, world.bob):
        with pytest.raises(NotForYou):
            verify_record(actor=who, now=world.now)
    assert not AuditVerification.objects.exists()
