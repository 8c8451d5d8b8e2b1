"""Every object of a recording is some run's, or goes."""

import os

import pytest

from sessions_app.operations.sessions.reconcile_objects import reconcile_objects
from sessions_app.queries.record.recording_content import object_store
from tests.sessions_app.operations.sessions.test_store_recordings import (
    DAY,
    bucket,
    digest,
    objects,
    recorded,
    store,
)
from tests.support.world import acts

__all__ = ["bucket", "recorded"]
pytestmark = pytest.mark.django_db


def test_an_object_that_no_row_knows_goes_after_the_time_that_recordings_have_with_one_entry(
    world, folder, bucket, recorded, settings
):
    settings.RECORDINGS_DAYS = 30
    store(world, folder)
    orphan = bucket / "recordings" / "f00d"
    orphan.write_bytes(b"sealed")
    for path in objects(bucket):
        os.utime(path, (world.now.timestamp(), world.now.timestamp()))
    assert reconcile_objects(store=object_store(), now=world.now + 29 * DAY) == 0
    for _ in range(2):
        orphan.write_bytes(b"sealed")
        os.utime(orphan, (world.now.timestamp(), world.now.timestamp()))
        assert reconcile_objects(store=object_store(), now=world.now + 31 * DAY) == 1
    assert acts.events("recordings/f00d") == ["recording.purged"]
    assert digest(recorded) == recorded.recording_digest
