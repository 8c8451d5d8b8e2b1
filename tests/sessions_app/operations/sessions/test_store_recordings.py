"""Finished recordings go to the store, and are read from there."""

import fcntl
import hashlib

import pytest

from broker.doctor.finding import Level
from broker.doctor.machine import of_store
from broker.kernel.crypto import CannotDecrypt
from sessions_app.gateways.core.recording import Recorder
from sessions_app.models import CommandRun, StoredRecording
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.operations.sessions.store_recordings import store_recordings
from sessions_app.queries.record.recording_content import digest_of, object_store, open_recording
from sessions_app.queries.record.recording_files import Room, recording_path, waiting_recordings
from sessions_app.queries.status.problems import troubles
from sessions_app.storage.base import StoreError
from sessions_app.storage.sealed import Altered
from tests.sessions_app.operations.record.test_recover_recording import DAY, MINUTE, lost
from tests.support.world import acts

__all__ = ["lost"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def bucket(settings, tmp_path):
    """The folder of the store."""
    settings.RECORDINGS_STORE = f"file://{tmp_path / 'bucket'}"
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def recorded(world, folder, bucket):
    """A finished run of Alice's with a recording, whose gateway runs on."""
    grant = world.grant()
    used, session = acts.enter(grant, now=world.now)
    run_id = acts.run(used, session, now=world.now).run_id
    recorder = Recorder(
        folder, recording_path(grant.ref, run_id), title="t", started=world.now, room=Room(10**6, "a limit")
    )
    recorder.output(b"a secret that was printed\n", error=False)
    made = recorder.close()
    finish_run(
        run_id=run_id,
        state="done",
        exit_status=0,
        output_bytes=made.output_bytes,
        recording=made.path,
        recording_digest=made.digest,
        recording_bytes=made.file_bytes,
        now=world.now,
    )
    return CommandRun.objects.select_related("grant").get(pk=run_id)


def store(world, folder, *, after=MINUTE):
    return store_recordings(folder=folder, store=object_store(), now=lambda: world.now + after)


def objects(bucket):
    return [path for path in bucket.rglob("*") if path.is_file()]


def digest(run):
    with open_recording(run) as file:
        return digest_of(file)


def test_a_recording_is_stored_encrypted_by_digest_and_its_file_goes(world, folder, bucket, recorded):
    assert store(world, folder) == 1
    assert list(folder.iterdir()) == []
    (path,) = objects(bucket)
    assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert b"printed" not in path.read_bytes()
    assert digest(recorded) == recorded.recording_digest
    assert recorded.stored_as.stored_at == world.now + MINUTE
    assert store(world, folder) == 0


def test_each_recording_has_a_key_of_its_own_that_opens_no_other_row(world, folder, bucket, recorded):
    store(world, folder)
    other = CommandRun.objects.create(
        grant=recorded.grant,
        session=recorded.session,
        target=recorded.target,
        line="x",
        state="done",
        recording="GR-ZZZZ/9.cast",
    )
    one = recorded.stored_as
    StoredRecording.objects.create(
        run=other, object=one.object, sealed_key=one.sealed_key, waits_since=world.now, stored_at=world.now
    )
    with pytest.raises(CannotDecrypt):
        open_recording(other)


def test_an_altered_object_is_not_read(world, folder, bucket, recorded):
    store(world, folder)
    (path,) = objects(bucket)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Altered):
        digest(recorded)


def test_while_the_store_is_away_recordings_wait_and_are_read_where_they_are(world, folder, bucket, recorded):
    bucket.rmdir()
    with pytest.raises(StoreError):
        store(world, folder)
    waiting = waiting_recordings()
    assert (waiting.count, waiting.bytes, waiting.since) == (1, recorded.recording_bytes, world.now + MINUTE)
    assert digest(recorded) == recorded.recording_digest
    bucket.mkdir()
    assert store(world, folder, after=2 * MINUTE) == 1
    assert waiting_recordings().count == 0


def test_a_process_that_died_after_its_intent_is_followed_by_another_that_leaves_one_object(
    world, folder, bucket, recorded, monkeypatch
):
    class Dying:
        def __init__(self, whole):
            self.whole = whole

        def __getattr__(self, name):
            return getattr(object_store(), name)

        def put(self, name, source):
            if self.whole:
                object_store().put(name, source)
            raise StoreError("killed")

    for whole in (False, True):
        with pytest.raises(StoreError, match="killed"):
            store_recordings(folder=folder, store=Dying(whole), now=lambda: world.now)
    assert store(world, folder) == 1
    assert len(objects(bucket)) == 1
    assert digest(recorded) == recorded.recording_digest


def test_one_that_died_before_it_removed_the_file_is_followed_by_another_that_does(
    world, folder, bucket, recorded
):
    content = (folder / recorded.recording).read_bytes()
    store(world, folder)
    (folder / recorded.recording).parent.mkdir()
    (folder / recorded.recording).write_bytes(content)
    (before,) = objects(bucket)
    store(world, folder)
    assert not (folder / recorded.recording).exists()
    assert objects(bucket) == [before]


def test_a_file_that_is_still_open_or_is_being_stored_elsewhere_is_left(world, folder, bucket, recorded):
    with (folder / recorded.recording).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert store(world, folder) == 0
    assert store(world, folder) == 1


def test_a_gateway_holds_its_file_until_it_is_closed(world, folder, bucket, recorded):
    path = recording_path(recorded.grant.ref, 10**6)
    recorder = Recorder(folder, path, title="t", started=world.now, room=Room(10**6, "a limit"))
    with (folder / path).open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        recorder.close()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_a_lost_gateway_left_is_recovered_and_stored(world, folder, bucket, lost):
    assert store(world, folder, after=2 * MINUTE) == 1
    assert digest(acts.fresh(lost)) == lost.recording_digest
    assert acts.events(lost.grant.ref).count("recording.recovered") == 1


def test_a_purge_deletes_the_object_and_its_key_and_the_digest_stays(world, folder, bucket, recorded):
    store(world, folder)
    assert purge_recordings(folder=folder, now=world.now + 400 * DAY) == 1
    assert (objects(bucket), StoredRecording.objects.count()) == ([], 0)
    assert open_recording(acts.fresh(recorded)) is None
    assert (
        acts.last("recording.purged", recorded.grant.ref).data["runs"][0]["recording_sha256"]
        == recorded.recording_digest
    )


def test_a_purge_while_the_store_is_away_is_finished_when_it_is_back(world, folder, bucket, recorded):
    store(world, folder)
    away = bucket.rename(bucket.with_name("away"))
    later = world.now + 400 * DAY
    assert purge_recordings(folder=folder, now=later) == 0
    away.rename(bucket)
    assert purge_recordings(folder=folder, now=later) == 1
    assert objects(bucket) == []
    assert acts.events(recorded.grant.ref).count("recording.purged") == 1


def test_what_was_purged_while_it_waited_is_not_stored(world, folder, bucket, recorded):
    class Purging:
        def __getattr__(self, name):
            return getattr(object_store(), name)

        def put(self, name, source):
            object_store().put(name, source)
            purge_recordings(folder=folder, now=world.now + 400 * DAY)

    assert store_recordings(folder=folder, store=Purging(), now=lambda: world.now) == 0
    assert objects(bucket) == []


def test_more_is_not_recorded_than_the_disk_takes_while_the_store_is_away(
    world, bucket, recorded, monkeypatch
):
    from sessions_app.queries.record import recording_files as recordings

    monkeypatch.setattr(recordings, "free_disk", lambda: recordings.Disk(total=100 * 2**30, free=2**30 + 700))
    room = recordings.Rooms().room_for(grant_id=recorded.grant_id)
    assert (room.bytes, room.limit) == (700, "recordings wait for the store, and the disk is almost full")


def test_doctor_and_probes_say_what_waits_for_a_store_that_is_away(world, folder, bucket, recorded):
    (found,) = of_store()
    assert (found.level, found.said) == (Level.OK, f"recordings are stored in file://{bucket}; none waiting")
    bucket.rmdir()
    with pytest.raises(StoreError):
        store(world, folder)
    (found,) = of_store()
    assert found.level == Level.WRONG
    assert "does not exist; 1 recording (0.0 MiB) waiting" in found.said
    late = "a recording has waited for the object store for 10 min"
    assert any(text.startswith(late) for text in troubles(world.now + 11 * MINUTE))
    assert not any("object store" in text for text in troubles(world.now + 2 * MINUTE))
