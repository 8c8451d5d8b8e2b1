"""Remove the texts of old entries from the database after they have been archived."""

from __future__ import annotations

import datetime as dt
import tempfile
from typing import IO

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.archives import compare_archive, last_removed, remove_texts
from broker.audit.events import Event
from broker.audit.export import Part
from broker.audit.models import MAIN_LOG, AuditArchive
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import LegalHold
from sessions_app.operations.record.store_archive import ARCHIVER
from sessions_app.queries.record.holds import held_entries
from sessions_app.storage.base import ObjectStore


class NotArchived(Conflict):
    """No archive contains these entries, or an archive can't be read. Nothing was removed."""

    code = "not_archived"


def remove_archived(
    *,
    until: int,
    store: ObjectStore | None,
    now: dt.datetime,
    owner: BaseDatabaseWrapper | None = None,
) -> int:
    """Remove the texts of archived entries up to number ``until``, the end of an archive, and return the
    number of entries.

    Entries under legal hold keep their texts. Hashes and columns remain, so the record can still be verified.
    Each archive in the store is first compared with the record. ``owner`` is the connection of the schema's
    owner; None means the default connection. Raises NotArchived, AltersArchive, OSError, and the database's
    errors.
    """
    if not AuditArchive.objects.filter(log=MAIN_LOG, until=until).exists():
        raise NotArchived(f"No archive ends with entry {until:,}.", hint="Archive these entries first.")
    _compare(until, store)
    removed = sum(remove_texts(owner or connection, Part(0, until), held_entries()))
    if removed:
        with transaction.atomic():
            record(
                event=Event.RECORD_TEXTS_REMOVED,
                actor=ARCHIVER,
                object_type="log",
                object_ref=MAIN_LOG,
                now=now,
                data={
                    "until": until,
                    "entries": removed,
                    "holds": list(LegalHold.objects.in_force().order_by("pk").values_list("pk", flat=True)),
                },
            )
    return removed


def _compare(until: int, store: ObjectStore | None) -> None:
    """Compare the archives in the store with those entries of the record whose texts are still in the
    database.
    """
    archives = AuditArchive.objects.filter(log=MAIN_LOG, until__lte=until, until__gt=last_removed())
    for archive in archives.exclude(object="").order_by("until"):
        if store is None:
            raise NotArchived(
                f"The archive {archive.object} is in an object store that is not configured.",
                hint="Set STINT_RECORD_STORE.",
            )
        with tempfile.TemporaryFile() as file:
            _fetch(store, archive.object, file)
            compare_archive(file, connection=connection)


def _fetch(store: ObjectStore, name: str, file: IO[bytes]) -> None:
    stream = store.read(name, 0)
    try:
        while data := stream.read(2**20):
            file.write(data)
    finally:
        stream.close()
    file.seek(0)
