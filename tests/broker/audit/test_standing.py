"""Whether the record is the one whose checkpoints are kept outside: asked before anything is used
or begins.
"""

import re
from pathlib import Path

import pytest
from django.db import connection

from broker.audit.checkpoint import CheckpointRefused, checkpoint_is_due, make_checkpoint
from broker.audit.models import AuditStanding
from broker.audit.standing import RecordContradicted, check_stands, settle, standing, stands
from tests.broker.audit.build import AT, bulk_build


@pytest.fixture
def kept(settings, tmp_path):
    """The file outside."""
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    return settings.CHECKPOINTS_FILE


def signed(count: int = 1) -> None:
    bulk_build(connection, count)
    make_checkpoint(now=AT)


def of_another_record(kept: Path) -> None:
    """The last checkpoint that is kept is one that this record does not have."""
    kept.write_text(re.sub(r"\n(\d+)\n", lambda found: f"\n{int(found[1]) + 1}\n", kept.read_text()))


def started_again() -> None:
    """The database was started or restored: what is written of it is of another one."""
    AuditStanding.objects.update(incarnation="before")


def test_a_new_installation_stands_and_is_compared_once(db, kept):
    assert standing() == (False, None)
    assert settle()
    assert not settle()
    assert standing() == (True, "")


def test_a_database_that_was_started_again_is_compared_again_and_stands(db, kept):
    signed()
    started_again()
    assert standing() == (False, None)
    check_stands()
    assert standing() == (True, "")


def test_a_record_without_the_last_checkpoint_that_is_kept_shuts_the_entry_points(db, kept):
    signed()
    of_another_record(kept)
    started_again()
    with pytest.raises(RecordContradicted, match="older backup"):
        check_stands()
    assert str(kept) in standing().contradiction


def test_moving_the_file_away_opens_no_entry_point_and_nothing_is_signed(db, kept):
    signed()
    of_another_record(kept)
    started_again()
    assert not stands()
    kept.unlink()
    bulk_build(connection, 1)
    with pytest.raises(CheckpointRefused, match="older backup"):
        make_checkpoint(now=AT)
    assert not stands()


def test_what_is_found_when_a_checkpoint_is_made_shuts_the_entry_points_that_were_open(db, kept):
    signed()
    assert stands()
    of_another_record(kept)
    bulk_build(connection, 1)
    with pytest.raises(CheckpointRefused):
        make_checkpoint(now=AT)
    assert not stands()


def test_an_old_copy_of_the_file_and_none_at_all_vouch_for_nothing(db, kept):
    """Both agree with an old backup as well."""
    signed()
    old = kept.read_text()
    signed()
    new = kept.read_text()
    for text in (old, None):
        started_again()
        kept.unlink()
        if text:
            kept.write_text(text)
        with pytest.raises(RecordContradicted, match="not been compared"):
            check_stands()
        assert standing() == (False, None)
        # Who makes the checkpoints keeps what the file lacks, and compares.
        make_checkpoint(now=AT)
        assert stands()
        kept.write_text(new)


def test_a_checkpoint_is_due_at_once_while_nothing_can_start_without_it(db, kept):
    """As after a failover just when a checkpoint was in the database, but not yet in the file."""
    signed()
    old = kept.read_text()
    signed()
    kept.write_text(old)
    assert not checkpoint_is_due(now=AT)
    started_again()
    assert not stands()
    assert checkpoint_is_due(now=AT)
    make_checkpoint(now=AT)
    assert stands()
    assert not checkpoint_is_due(now=AT)


def test_a_rewritten_table_is_compared_again(stint_db, owner_connection, kept):
    """As after a restore into the same database."""
    settle()
    owner_connection.execute("VACUUM FULL audit_entry")
    assert standing() == (False, None)
    assert settle()
