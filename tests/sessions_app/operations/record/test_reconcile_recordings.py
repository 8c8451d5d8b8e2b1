"""Every file of the recordings' folder is some run's, or goes."""

import datetime as dt
import hashlib

import pytest

from sessions_app.operations.record.reconcile_recordings import reconcile_recordings
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from tests.sessions_app.operations.record.test_recover_recording import DAY, MINUTE, file_of, lost, touch
from tests.support.world import acts

__all__ = ["lost"]
ORPHAN = "GR-ZZZZ/4711.cast"


@pytest.fixture
def orphan(world, folder):
    """A recording of which the database knows nothing, as after a backup was restored."""
    file = folder / ORPHAN
    file.parent.mkdir()
    file.write_bytes(b"printed")
    touch(file, world.now)
    return file


def test_a_file_that_no_run_knows_goes_after_the_time_that_recordings_have_and_leaves_its_digest(
    world, folder, orphan, settings
):
    settings.RECORDINGS_DAYS = 30
    assert reconcile_recordings(folder=folder, now=world.now + 29 * DAY) == 0
    assert orphan.exists()
    assert reconcile_recordings(folder=folder, now=world.now + 31 * DAY) == 1
    assert not orphan.exists()
    entry = acts.last("recording.purged", ORPHAN)
    assert entry.data == {"recording_sha256": hashlib.sha256(b"printed").hexdigest(), "recording_bytes": 7}
    assert acts.intact()


def test_a_run_of_another_grant_does_not_keep_a_file(world, folder, lost):
    stranger = folder / "GR-ZZZZ" / f"{lost.pk}.cast"
    stranger.parent.mkdir()
    stranger.write_bytes(b"printed")
    touch(stranger, world.now)
    reconcile_recordings(folder=folder, now=world.now + 400 * DAY)
    assert not stranger.exists()
    assert file_of(folder, lost).exists()


def test_after_a_crash_between_the_entry_and_the_file_the_file_goes_without_a_second_entry(
    world, folder, orphan
):
    later = world.now + 400 * DAY
    reconcile_recordings(folder=folder, now=later)
    # What such a crash leaves: the entry is there, and so is the file.
    orphan.write_bytes(b"printed")
    touch(orphan, world.now)
    assert reconcile_recordings(folder=folder, now=later + DAY) == 1
    assert not orphan.exists()
    assert acts.events(ORPHAN).count("recording.purged") == 1


def test_what_the_purge_looks_for_no_more_is_taken_in_all_the_same(world, folder, lost):
    purge_recordings(folder=folder, now=world.now + 2 * DAY)
    assert acts.fresh(lost).recording == ""
    assert reconcile_recordings(folder=folder, now=world.now + 2 * DAY) == 1
    assert acts.fresh(lost).recording_digest
    assert reconcile_recordings(folder=folder, now=world.now + 2 * DAY) == 0


def test_a_file_that_comes_back_after_it_was_purged_goes_again(world, folder, lost):
    purge_recordings(folder=folder, now=world.now + 2 * MINUTE)
    kept = file_of(folder, lost).read_bytes()
    purge_recordings(folder=folder, now=world.now + 400 * DAY)
    file_of(folder, lost).write_bytes(kept)
    assert reconcile_recordings(folder=folder, now=world.now + 401 * DAY) == 1
    assert not file_of(folder, lost).exists()
    assert acts.events(lost.grant.ref).count("recording.purged") == 1


def test_what_is_not_named_as_a_recording_stays(world, folder, orphan):
    others = [
        folder / "README",
        orphan.with_name("notes.txt"),
        orphan.with_name("01.cast"),
        folder / "x" / "1.cast",
    ]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"mine")
        touch(other, world.now)
    link = orphan.with_name("5.cast")
    link.symlink_to(others[0])
    reconcile_recordings(folder=folder, now=world.now + 400 * DAY)
    assert all(other.exists() for other in [*others, link])
    assert not orphan.exists()


def test_a_machine_without_the_recordings_has_nothing_to_compare(world, tmp_path):
    assert reconcile_recordings(folder=tmp_path / "elsewhere", now=world.now + dt.timedelta(days=400)) == 0
