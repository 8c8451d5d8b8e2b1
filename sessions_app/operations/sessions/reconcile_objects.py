"""Compare the object store with the recordings in it. Remove objects that no recording needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import islice

from django.conf import settings
from django.db import transaction

from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.audit.record import record
from sessions_app.models import StoredRecording
from sessions_app.operations.record.recover_recording import FINDER
from sessions_app.operations.sessions.store_recordings import FOLDER
from sessions_app.storage.base import ObjectStore, StoredObject

# The maximum number of objects per database query.
BATCH = 1000


def reconcile_objects(*, store: ObjectStore, now: dt.datetime) -> int:
    """Delete objects that no row refers to, once they are older than the retention time of recordings.

    Return the number of deleted objects. Such objects can exist after a backup of the database was restored.
    Each one gets an entry in the record before it is deleted. Raises StoreError.
    """
    before = now - dt.timedelta(days=settings.RECORDINGS_DAYS)
    objects, removed = store.objects(FOLDER), 0
    while batch := list(islice(objects, BATCH)):
        for one in _unknown([one for one in batch if one.changed_at < before]):
            _record_purge(one, now)
            store.delete(one.name)
            removed += 1
    return removed


def _unknown(objects: Sequence[StoredObject]) -> list[StoredObject]:
    names = [one.name for one in objects]
    known = set(StoredRecording.objects.filter(object__in=names).values_list("object", flat=True))
    return [one for one in objects if one.name not in known]


@transaction.atomic
def _record_purge(one: StoredObject, now: dt.datetime) -> None:
    """Record that an object is about to be removed, unless a process that then died has already recorded
    the removal.
    """
    said = AuditEntry.objects.filter(
        object_ref=one.name, object_type="recording", event=Event.RECORDING_PURGED.value
    )
    if not said.exists():
        record(
            event=Event.RECORDING_PURGED,
            actor=FINDER,
            object_type="recording",
            object_ref=one.name,
            now=now,
            data={"object_sha256": one.name.rpartition("/")[2]},
        )
