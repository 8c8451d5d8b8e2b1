"""The record as a file that ``offline.py`` verifies without Stint and without the database.

The file has JSON lines: a header, each entry with its exact text and its hashes, and the number of entries. Each
checkpoint follows the last entry that it covers. One statement reads everything, so that the file is a snapshot of the
record.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG

FORMAT = "stint-record-1"

# A checkpoint of more entries than exist is exported too: it shows that the end was cut off.
_LINES = """
    SELECT e.seq, encode(e.prev_hash, 'hex'), encode(e.hash, 'hex'), e.body, c.note
      FROM (SELECT * FROM audit_entry WHERE log = %(log)s AND seq <= %(until)s) e
      FULL JOIN (SELECT * FROM audit_checkpoint WHERE log = %(log)s) c ON c.size = e.seq
     ORDER BY coalesce(e.seq, c.size)
"""
ALL = 2**63 - 1


def export(*, log: str = MAIN_LOG, until: int = ALL) -> Iterator[str]:
    """Yield the lines of the file: the entries up to number ``until``, and all checkpoints. Raises the database's
    errors.
    """
    yield _line({"format": FORMAT, "log": log})
    count = 0
    for seq, prev, digest, body, note in _rows(log, until):
        if seq is not None:
            count += 1
            yield _line({"seq": seq, "prev": prev, "hash": digest, "body": body})
        if note is not None:
            yield _line({"checkpoint": note})
    yield _line({"end": count})


def note_export(*, file: str, until: int, now: dt.datetime) -> None:
    """Record that the entries up to number ``until``, or all, are about to be written to a file.

    A broken record that refuses entries is exported as well; then this entry is kept aside.
    """
    with transaction.atomic():
        record_end(
            event=Event.RECORD_EXPORTED, actor=Actor.system("audit_export"), object_type="log", object_ref=MAIN_LOG, now=now,
            data={"file": file, "until": None if until == ALL else until},
        )  # fmt: skip


def _rows(log: str, until: int) -> Iterator[tuple[Any, ...]]:
    with transaction.atomic():
        connection.ensure_connection()
        # Use the driver's own cursor, for the same reason as ``verify``.
        raw: Any = connection.connection
        with raw.cursor(name="audit_export") as cursor:
            cursor.itersize = 2000
            cursor.execute(_LINES, {"log": log, "until": until})
            yield from cursor


def _line(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
