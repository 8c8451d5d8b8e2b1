"""Export the record to a file that ``offline.py`` verifies without Stint and without the database.

The file has JSON lines: a header, each entry with its exact text and its hashes, and the number of entries.
Each checkpoint follows the last entry that it covers. The file is a snapshot, because a single statement
reads everything.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditCheckpoint
from broker.audit.tree import Tree

FORMAT = "stint-record-1"

# A checkpoint that covers more entries than exist is also exported, because it shows that the end was cut
# off.
_LINES = """
    SELECT e.seq, encode(e.prev_hash, 'hex'), encode(e.hash, 'hex'), e.body, c.note
      FROM (SELECT * FROM audit_entry WHERE log = %(log)s AND seq > %(after)s AND seq <= %(until)s) e
      FULL JOIN (SELECT * FROM audit_checkpoint
                   WHERE log = %(log)s AND size > %(after)s AND size <= %(newest)s) c
             ON c.size = e.seq
     ORDER BY coalesce(e.seq, c.size)
"""
_HASHES = "SELECT hash FROM audit_entry WHERE log = %(log)s AND seq <= %(until)s ORDER BY seq"
ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Part:
    """The entries after number ``after``, up to number ``until``. Both numbers are sizes of checkpoints;
    ``after`` can also be 0.
    """

    after: int
    until: int


def part_between(start: dt.datetime | None, before: dt.datetime, *, log: str = MAIN_LOG) -> Part | None:
    """Return the part that was signed from ``start`` (None: the beginning) until just before ``before``, or
    None if it is empty.
    """
    sizes = [
        AuditCheckpoint.objects.filter(log=log, at__lt=at).aggregate(size=Max("size"))["size"] or 0
        for at in (start or dt.datetime.min.replace(tzinfo=dt.UTC), before)
    ]
    return Part(*sizes) if sizes[0] < sizes[1] else None


def export(*, log: str = MAIN_LOG, until: int = ALL) -> Iterator[str]:
    """Yield the lines of an export of the entries up to number ``until``, and all checkpoints.

    Raises the database's errors.
    """
    yield _line({"format": FORMAT, "log": log})
    yield from _content({"log": log, "after": 0, "until": until, "newest": ALL})


def export_part(part: Part, *, log: str = MAIN_LOG) -> Iterator[str]:
    """Yield the lines of an export of one part, which can be verified on its own. Raises the database's
    errors.
    """
    yield _line({"format": FORMAT, "log": log, "after": _beginning(part.after, log)})
    yield from _content({"log": log, "after": part.after, "until": part.until, "newest": part.until})


def _beginning(size: int, log: str) -> dict[str, object] | None:
    """Return the state with which a verifier starts a part: the signed tree of the entries before the part,
    and the hash of the last of these entries.
    """
    if not size:
        return None
    tree = Tree()
    last = b""
    for (last,) in _rows(_HASHES, {"log": log, "until": size}):
        tree.append(last)
    note = AuditCheckpoint.objects.get(log=log, size=size).note
    return {"checkpoint": note, "peaks": [peak.hex() for peak in tree.peaks], "hash": last.hex()}


def _content(wanted: dict[str, Any]) -> Iterator[str]:
    count = 0
    for seq, prev, digest, body, note in _rows(_LINES, wanted):
        if seq is not None:
            count += 1
            yield _line({"seq": seq, "prev": prev, "hash": digest, "body": body})
        if note is not None:
            yield _line({"checkpoint": note})
    yield _line({"end": count})


def note_export(*, file: str, until: int, after: int = 0, now: dt.datetime) -> None:
    """Record that the entries after number ``after`` up to number ``until`` are about to be exported to a
    file.

    A broken record that rejects entries can also be exported; this entry then goes to the backlog.
    """
    data = {"file": file, "until": None if until == ALL else until, **({"after": after} if after else {})}
    with transaction.atomic():
        record_end(
            event=Event.RECORD_EXPORTED,
            actor=Actor.system("audit_export"),
            object_type="log",
            object_ref=MAIN_LOG,
            now=now,
            data=data,
        )


def _rows(statement: str, wanted: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with transaction.atomic():
        connection.ensure_connection()
        # Use the driver's cursor, for the same reason as ``verify``.
        raw: Any = connection.connection
        with raw.cursor(name="audit_export", binary=True) as cursor:
            cursor.itersize = 2000
            cursor.execute(statement, wanted)
            yield from cursor


def _line(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
