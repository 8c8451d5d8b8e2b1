"""Recordings go when their time is over, and leave their digests."""

import datetime as dt

import pytest

from sessions_app.models import CommandRun, Notice
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.queries.record.recording_files import Room, Rooms
from tests.support.world import acts

DAY = dt.timedelta(days=1)


@pytest.fixture
def recorded(world, folder):
    """A run of Alice's that ended now with a recording of 1,000 bytes."""
    used = acts.use(world.grant(), now=world.now)
    run_id = acts.run(used, acts.session(used, now=world.now), now=world.now).run_id
    (folder / "1.cast").write_bytes(b"x" * 1000)
    finish_run(
        run_id=run_id,
        state="done",
        exit_status=0,
        output_bytes=900,
        recording="1.cast",
        recording_digest="d" * 64,
        recording_bytes=1000,
        now=world.now,
    )
    return CommandRun.objects.select_related("grant").get(pk=run_id)


def test_a_recording_is_kept_as_long_as_its_policy_says_and_its_digest_for_ever(world, folder, recorded):
    world.apply(acts.policy(world, recordings={"keep": "30d"}), now=world.now)
    assert purge_recordings(folder=folder, now=world.now + 29 * DAY) == 0
    assert (folder / "1.cast").exists()
    later = world.now + 30 * DAY + dt.timedelta(seconds=1)
    assert purge_recordings(folder=folder, now=later) == 1
    assert not (folder / "1.cast").exists()
    assert (acts.fresh(recorded).recording_purged_at, recorded.recording_digest) == (later, "d" * 64)
    entry = acts.last("recording.purged", recorded.grant.ref)
    assert entry.data["runs"] == [{"run": recorded.pk, "recording_sha256": "d" * 64}]
    assert purge_recordings(folder=folder, now=later + DAY) == 0
    assert acts.events(recorded.grant.ref).count("recording.purged") == 1


def test_where_no_policy_says_how_long_the_installation_does(world, folder, recorded, settings):
    settings.RECORDINGS_DAYS = 3
    assert purge_recordings(folder=folder, now=world.now + 2 * DAY) == 0
    assert purge_recordings(folder=folder, now=world.now + 4 * DAY) == 1


def test_what_could_not_be_deleted_is_deleted_the_next_time(world, folder, recorded):
    (folder / "1.cast").unlink()
    (folder / "1.cast").mkdir()
    old = world.now + 400 * DAY
    assert purge_recordings(folder=folder, now=old) == 0
    (folder / "1.cast").rmdir()
    (folder / "1.cast").write_bytes(b"x")
    assert purge_recordings(folder=folder, now=old + DAY) == 1
    assert not (folder / "1.cast").exists()
    assert acts.events(recorded.grant.ref).count("recording.purged") == 1


def test_administrators_are_told_once_a_day_before_recordings_are_full(world, folder, recorded, settings):
    settings.RECORDINGS_BYTES = 1300
    purge_recordings(folder=folder, now=world.now)
    assert not Notice.objects.filter(event="recording.storage_low").exists()
    settings.RECORDINGS_BYTES = 1200
    for hours in (0, 1, 25):
        purge_recordings(folder=folder, now=world.now + dt.timedelta(hours=hours))
    told = Notice.objects.filter(event="recording.storage_low")
    assert [notice.identity for notice in told] == [world.admin, world.admin]
    assert "increase STINT_RECORDINGS_MIB" in told[0].body


def test_the_least_of_what_a_command_a_grant_and_all_of_them_may_have_is_left(
    world, folder, recorded, settings
):
    grant = recorded.grant
    assert Rooms().room_for(grant_id=grant.pk).bytes == settings.RECORDING_BYTES
    settings.RECORDINGS_BYTES_PER_GRANT = 1500
    assert Rooms().room_for(grant_id=grant.pk) == Room(500, "this grant's recordings have 0.00143051 MiB")
    assert Rooms().room_for(grant_id=world.grant().pk).bytes == 1500
    settings.RECORDINGS_BYTES = 900
    assert Rooms().room_for(grant_id=grant.pk).bytes == 0
    purge_recordings(folder=folder, now=world.now + 400 * DAY)
    assert Rooms().room_for(grant_id=grant.pk).bytes == 900


def test_a_machine_without_the_recordings_purges_nothing(world, folder, recorded, tmp_path):
    assert purge_recordings(folder=tmp_path / "elsewhere", now=world.now + 400 * DAY) == 0
    assert acts.fresh(recorded).recording_purged_at is None
