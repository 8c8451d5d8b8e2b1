"""A gateway on its own disk stores its recordings, and every other process reads them from the store."""

import hashlib
import os
import signal

import pytest

from sessions_app.models import StoredRecording
from sessions_app.queries.record.recording_content import open_recording
from tests.support.servers.objects import BUCKET, objects_served
from tests.support.waits import eventually


@pytest.fixture
def served(place, settings, tmp_path):
    """A bucket that the gateway and this process use; only the gateway has the folder."""
    with pytest.MonkeyPatch.context() as patch, objects_served(patch) as served:
        settings.RECORDINGS_STORE, settings.RECORDINGS_DIR = f"s3://{BUCKET}/prod", tmp_path
        place.stop(signal.SIGTERM)
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        place.start(STINT_RECORDINGS_STORE=settings.RECORDINGS_STORE, **aws)
        yield served
        place.stop(signal.SIGTERM)
    place.start()


def test_what_a_command_printed_is_in_the_bucket_and_not_on_the_disk(place, served):
    grant = place.grant()
    assert place.ssh("test status 7").returncode == 7
    eventually(StoredRecording.objects.filter(run__grant=grant, stored_at__isnull=False).exists)
    run = grant.runs.get()
    assert served.everything() == [f"prod/{run.stored_as.object}"]
    with open_recording(run) as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == run.recording_digest
    eventually(lambda: not (place.folder / "state" / "recordings" / run.recording).exists())
