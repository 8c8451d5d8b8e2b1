"""Archives: compressed exports of parts of the record, after which the database no longer needs the texts of
these parts.

An archive begins where the previous one ends, and ends with a checkpoint. Its file is an export of a part, so
``offline.py --part`` verifies it. After the texts were removed from the database, the hashes of all entries
remain, and every checkpoint and later entry depends on them.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max

from broker.audit.export import FORMAT, Part, export_part
from broker.audit.hashes import Row, disagreeing, entry_hash
from broker.audit.models import MAIN_LOG, AuditArchive, AuditEntry

# Texts are removed in transactions of this many entries.
BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Held:
    """The entries that must stay in the database: entries about ``refs``, entries that contain one of
    ``texts``, and entries of ``periods``, each from its start (inclusive) to its end (exclusive).
    """

    refs: Sequence[str] = ()
    texts: Sequence[str] = ()
    periods: Sequence[tuple[dt.datetime, dt.datetime]] = field(default=())


class AltersArchive(Exception):
    """An archive does not match the record. The message gives the location."""


def last_archived(*, log: str = MAIN_LOG) -> int:
    """Return the number of the last entry that is in an archive, or 0."""
    return AuditArchive.objects.filter(log=log).aggregate(most=Max("until"))["most"] or 0


def last_removed(*, log: str = MAIN_LOG) -> int:
    """Return the number of the last entry whose text is only in an archive, or 0."""
    return AuditEntry.objects.filter(log=log, body="").aggregate(most=Max("seq"))["most"] or 0


def write_archive(part: Part, file: BinaryIO, *, log: str = MAIN_LOG) -> str:
    """Write an archive of a part, and return the SHA-256 of the file in hex.

    Raises OSError, and the database's errors.
    """
    # Equal content must result in equal files, so the header has no time and no file name.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        for line in export_part(part, log=log):
            packed.write(line.encode())
    file.seek(0)
    return _digest(file)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(2**20):
        digest.update(data)
    return digest.hexdigest()


def remove_texts(
    connection: BaseDatabaseWrapper, part: Part, held: Held, *, log: str = MAIN_LOG
) -> Iterator[int]:
    """Remove the texts of archived entries, except those under hold. Yield the number of texts for each
    transaction.

    ``connection`` must be that of the schema's owner. Raises the database's errors.
    """
    starts, ends = [start for start, _ in held.periods], [end for _, end in held.periods]
    for after in range(part.after, part.until, BATCH):
        values: list[Any] = [
            log,
            after,
            min(after + BATCH, part.until),
            list(held.refs),
            list(held.texts),
            starts,
            ends,
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT audit_remove_texts(%s, %s, %s, %s::text[], %s::text[], %s::timestamptz[],"
                " %s::timestamptz[])",
                values,
            )
            yield cursor.fetchone()[0]


def compare_archive(file: BinaryIO, *, connection: BaseDatabaseWrapper) -> Part:
    """Compare an archive with the record, and return its part. Raises AltersArchive, OSError.

    Each entry must have the text to which its hash in the database belongs, and the same columns.
    """
    digest = _digest(file)
    row = AuditArchive.objects.filter(sha256=digest).first()
    if row is None:
        raise AltersArchive("This file is not an archive of the record, or it was altered.")
    file.seek(0)
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        header = json.loads(next(lines, "{}"))
        if header.get("format") != FORMAT or header.get("log") != row.log:
            raise AltersArchive("The file does not begin with the header of an export of this record.")
        stored = _stored(connection, row)
        count = 0
        for line in lines:
            entry = json.loads(line)
            if "seq" in entry:
                _compare(entry, next(stored, None))
                count += 1
    if count != row.until - row.after:
        raise AltersArchive(f"The file has {count:,} entries, not {row.until - row.after:,}.")
    return Part(row.after, row.until)


def _stored(connection: BaseDatabaseWrapper, row: AuditArchive) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT seq, prev_hash, body, hash, NULL, log,
                      to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                      event, actor, actor_id, object_type, object_ref
                 FROM audit_entry WHERE log = %s AND seq > %s AND seq <= %s ORDER BY seq""",
            [row.log, row.after, row.until],
        )
        while rows := cursor.fetchmany(2000):
            yield from rows


def _compare(entry: dict[str, Any], values: tuple[Any, ...] | None) -> None:
    if values is None or values[0] != entry["seq"]:
        raise AltersArchive(f"Entry {entry['seq']:,} is not in the record.")
    row = Row(*values)._replace(body=entry["body"])
    digest = entry_hash(bytes(row.prev_hash), row.seq, row.body)
    if digest != bytes(row.hash) or digest.hex() != entry["hash"]:
        raise AltersArchive(f"Entry {row.seq:,} in the archive does not have the hash that the record has.")
    if names := disagreeing(row):
        raise AltersArchive(f"Entry {row.seq:,} has altered columns ({', '.join(names)}).")
