"""The file of a run whose gateway was lost is taken in, once, and what limits and the record say of it is
true.
"""

import datetime as dt
import fcntl
import hashlib
import os

import pytest

from broker.audit.models import AuditEntry
from sessions_app.gateways.core.recording import Recorder
from sessions_app.models import CommandRun
from sessions_app.operations.record.recover_recording import recover_recording
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.queries.record.recording_files import Room, kept_bytes, recording_path
from tests.support.world import acts

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


@pytest.fixture
def lost(world, folder):
    """A run of Alice's that printed something, and whose gateway was lost at this moment: what had been
    flushed is there.
    """
    grant = world.grant()
    used, session = acts.enter(grant, now=world.now)
    run_id = acts.run(used, session, now=world.now).run_id
    path = recording_path(grant.ref, run_id)
    recorder = Recorder(folder, path, title="t", started=world.now, room=Room(10**6, "a limit"))
    recorder.output(b"one\ntwo\n", error=False)
    recorder.flush()
    touch(folder / path, world.now)
    close_session(session_id=session, reason="gateway lost", now=world.now)
    return CommandRun.objects.select_related("grant").get(pk=run_id)


def touch(file, at):
    os.utime(file, (at.timestamp(), at.timestamp()))


def file_of(folder, run):
    return folder / recording_path(run.grant.ref, run.pk)


def test_what_a_lost_gateway_recorded_is_sized_digested_and_put_into_the_record_as_cut(world, folder, lost):
    file = file_of(folder, lost)
    assert kept_bytes(lost.grant.runs.all()) == 0
    assert recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
    lost.refresh_from_db()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    path = recording_path(lost.grant.ref, lost.pk)
    assert (lost.state, lost.recording, lost.recording_digest) == ("cut", path, digest)
    assert (lost.recording_bytes, lost.output_bytes) == (file.stat().st_size, len("one\ntwo\n"))
    assert acts.last("recording.recovered", lost.grant.ref).data == {
        "run": lost.pk,
        "target": "web-1",
        "state": "cut",
        "recording": path,
        "recording_sha256": digest,
        "recording_bytes": file.stat().st_size,
    }
    assert acts.intact()


def test_it_is_purged_when_its_time_is_over_and_leaves_its_digest(world, folder, lost):
    later = world.now + 2 * MINUTE
    assert purge_recordings(folder=folder, now=later) == 0
    assert acts.fresh(lost).recording_digest
    assert purge_recordings(folder=folder, now=world.now + 400 * DAY) == 1
    assert not file_of(folder, lost).exists()
    runs = acts.last("recording.purged", lost.grant.ref).data["runs"]
    assert runs == [{"run": lost.pk, "recording_sha256": lost.recording_digest}]


def test_it_is_taken_in_once_however_often_it_is_looked_at(world, folder, lost):
    for minutes in (2, 3):
        recover_recording(run=lost, folder=folder, now=world.now + minutes * MINUTE)
    assert acts.events(lost.grant.ref).count("recording.recovered") == 1


def test_what_may_still_be_written_is_left(world, folder, lost):
    assert not recover_recording(run=lost, folder=folder, now=world.now + MINUTE / 2)
    touch(file_of(folder, lost), world.now + 2 * MINUTE)
    assert not recover_recording(run=lost, folder=folder, now=world.now + 2.5 * MINUTE)
    assert (acts.fresh(lost).recording, lost.recording_bytes) == ("", 0)


def test_one_that_stopped_before_anything_was_written_leaves_nothing(world, folder, lost):
    file = file_of(folder, lost)
    file.write_bytes(b"")
    touch(file, world.now)
    assert not recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
    assert not file.exists()


def test_one_without_a_file_is_left_as_it_is(world, folder, lost):
    file_of(folder, lost).unlink()
    assert not recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)


def report(run, *, digest, now):
    """A gateway that was cut off, and given up, can speak again."""
    finish_run(
        run_id=run.pk,
        state="cut",
        output_bytes=9,
        recording=recording_path(run.grant.ref, run.pk),
        recording_digest=digest,
        recording_bytes=200,
        now=now,
    )


def test_a_gateway_that_was_given_up_and_comes_back_says_what_it_recorded(world, folder, lost):
    report(lost, digest="a" * 64, now=world.now + MINUTE)
    assert (acts.fresh(lost).state, lost.recording_digest, lost.recording_bytes) == ("cut", "a" * 64, 200)
    assert (lost.ended_at, lost.reason) == (world.now, "gateway lost")
    assert acts.last("recording.recovered", lost.grant.ref).data["recording_sha256"] == "a" * 64


def test_what_it_says_stands_above_what_was_found_meanwhile(world, folder, lost):
    recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
    for _ in range(2):
        report(lost, digest="b" * 64, now=world.now + 3 * MINUTE)
    assert acts.fresh(lost).recording_digest == "b" * 64
    assert acts.events(lost.grant.ref).count("recording.recovered") == 2


def test_what_was_purged_is_not_brought_back_by_a_late_word(world, folder, lost):
    recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
    purge_recordings(folder=folder, now=world.now + 400 * DAY)
    entries = AuditEntry.objects.count()
    report(lost, digest="c" * 64, now=world.now + 401 * DAY)
    assert (acts.fresh(lost).recording_bytes, AuditEntry.objects.count()) == (0, entries)


def test_a_file_that_a_gateway_still_writes_is_left_to_it(world, folder, lost):
    with file_of(folder, lost).open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_SH)
        assert not recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
    assert recover_recording(run=lost, folder=folder, now=world.now + 2 * MINUTE)
