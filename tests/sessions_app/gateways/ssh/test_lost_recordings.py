"""Recordings of a gateway that was killed are counted, sealed and purged like all others."""

import datetime as dt
import hashlib
import signal

import pytest

from broker.kernel import clock
from sessions_app.operations.sessions.purge_recordings import purge_recordings
from sessions_app.queries.record.recording_files import Rooms, kept_bytes
from tests.support.waits import eventually
from tests.support.world import acts

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


@pytest.fixture
def printed(place):
    """A run with much output, whose gateway is killed meanwhile.

    Yields its file, its grant, and the folder of files.
    """
    grant = place.grant()
    folder = place.folder / "state" / "recordings"
    with place.running("flood") as (client, _):
        file = folder / grant.ref / f"{grant.runs.get().pk}.cast"
        eventually(lambda: file.exists() and file.stat().st_size > 1000)
        place.stop(signal.SIGKILL)
        client.wait(30)
    yield grant, folder, file
    if place.gateway is None:
        place.start()


def settled(grant, folder, file, *, now):
    """Purge at a moment; return the run's state afterwards, and the file's."""
    purge_recordings(folder=folder, now=now + 2 * MINUTE)
    run = grant.runs.get()
    return run, hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size


def test_the_recording_of_a_killed_gateway_is_counted_when_the_gateway_is_back(place, printed):
    grant, folder, file = printed
    place.start()
    # The new process of that name has closed the old one's sessions.
    eventually(lambda: grant.runs.get().state == "cut")
    assert kept_bytes(grant.runs.all()) == 0
    run, digest, size = settled(grant, folder, file, now=clock.now())
    assert (run.state, run.recording_digest, run.recording_bytes) == ("cut", digest, size)
    assert kept_bytes(grant.runs.all()) == size
    assert Rooms().in_all() >= size
    assert acts.last("recording.recovered", grant.ref).data["recording_sha256"] == digest
