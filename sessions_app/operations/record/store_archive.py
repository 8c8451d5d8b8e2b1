"""Write the entries that are signed but not yet archived to an archive."""

from __future__ import annotations

import datetime as dt
import tempfile
from typing import BinaryIO

from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.archives import last_archived, write_archive
from broker.audit.events import Event
from broker.audit.export import Part
from broker.audit.models import MAIN_LOG, AuditArchive, AuditCheckpoint
from broker.audit.record import record
from sessions_app.storage.base import ObjectStore

ARCHIVER = Actor.system("archive")
# The prefix of archive objects in the store.
FOLDER = "record"
# How often the worker archives new entries.
EVERY = dt.timedelta(days=1)
# An arbitrary number that no other advisory lock in the database uses.
_LOCK = 7_421


def archive_is_due(*, now: dt.datetime) -> bool:
    """Whether no archive was written in the last day."""
    return not AuditArchive.objects.filter(log=MAIN_LOG, at__gt=now - EVERY).exists()


def store_archive(
    *, into: ObjectStore | BinaryIO, before: dt.datetime | None = None, now: dt.datetime
) -> AuditArchive | None:
    """Archive all entries after the last archive, up to the last checkpoint, or up to the last checkpoint
    signed earlier than ``before``. Return the archive, or None if there are no such entries.

    In a store, the object's name is the SHA-256 of its content. A file must be open for reading and writing.
    An archive is recorded in the transaction that adds its row. Raises OSError, and the database's errors.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        part = _unarchived(before)
        if part is None:
            return None
        digest, name = _written(part, into)
        archive = AuditArchive.objects.create(
            log=MAIN_LOG, after=part.after, until=part.until, sha256=digest, object=name, at=now
        )
        record(
            event=Event.RECORD_ARCHIVED,
            actor=ARCHIVER,
            object_type="log",
            object_ref=MAIN_LOG,
            now=now,
            data={"after": part.after, "until": part.until, "sha256": digest, "object": name},
        )
    return archive


def _unarchived(before: dt.datetime | None) -> Part | None:
    after = last_archived()
    signed = AuditCheckpoint.objects.filter(log=MAIN_LOG, size__gt=after)
    if before is not None:
        signed = signed.filter(at__lt=before)
    until = signed.order_by("-size").values_list("size", flat=True).first()
    return Part(after, until) if until else None


def _written(part: Part, into: ObjectStore | BinaryIO) -> tuple[str, str]:
    """Write an archive, and return its SHA-256 and the name of its object; without a store, the name is
    empty.
    """
    if not hasattr(into, "put"):
        return write_archive(part, into), ""
    with tempfile.TemporaryFile() as file:
        digest = write_archive(part, file)
        name = f"{FOLDER}/{digest}.jsonl.gz"
        file.seek(0)
        into.put(name, file)
    return digest, name
