"""The hashes in the record's format, and the comparison of an entry's columns with its body."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from json.encoder import encode_basestring as quote
from typing import Any, NamedTuple

ENTRY_PREFIX = b"stint-audit-entry-1\n"
LOG_PREFIX = b"stint-audit-log-1\n"


def genesis(log: str) -> bytes:
    """Return the previous hash of a log's first entry: 32 bytes that depend only on the log's name."""
    return hashlib.sha256(LOG_PREFIX + log.encode()).digest()


def entry_hash(prev_hash: bytes, seq: int, body: str) -> bytes:
    """Return the hash of an entry, 32 bytes."""
    return hashlib.sha256(ENTRY_PREFIX + prev_hash + seq.to_bytes(8, "big") + body.encode()).digest()


class Row(NamedTuple):
    """One entry, as read for verification."""

    seq: int
    prev_hash: bytes
    body: str
    hash: bytes
    # The head's hash, if this entry is the head.
    head_hash: bytes | None
    log: str
    at: str
    event: str
    actor: str
    actor_id: int | None
    object_type: str
    object_ref: str

    def columns(self) -> dict[str, str | int | None]:
        """Return the columns that repeat facts from the body."""
        return {
            "log": self.log,
            "at": self.at,
            "event": self.event,
            "actor": self.actor,
            "actor_id": self.actor_id,
            "object_type": self.object_type,
            "object_ref": self.object_ref,
        }


def framed(body: str, columns: Sequence[Any]) -> bool:
    """Whether the body, apart from its data, is exactly the text that PostgreSQL writes for these columns.

    This is twice as fast as parsing each body. If the result is False, the body must be parsed. ``columns``
    are in the order of Row.
    """
    log, at, event, actor, actor_id, object_type, object_ref = columns
    number = "null" if actor_id is None else actor_id
    return body.startswith(f'{{"at": "{at}", "log": {quote(log)}, "data": {{') and body.endswith(
        f'}}, "actor": {quote(actor)}, "event": {quote(event)}, "actor_id": {number}, '
        f'"object_ref": {quote(object_ref)}, "object_type": {quote(object_type)}}}'
    )


def disagreeing(row: Row) -> list[str]:
    """Return the columns that differ from the body, or ``body`` if it does not have its eight keys."""
    try:
        body = json.loads(row.body)
    except (ValueError, RecursionError):
        return ["body"]
    if not isinstance(body, dict) or not isinstance(body.pop("data", None), dict):
        return ["body"]
    columns = row.columns()
    if body == columns:
        return []
    return sorted(name for name in body.keys() | columns.keys() if body.get(name) != columns.get(name)) or [
        "body"
    ]
