"""The diagnosis of a broken log at the first invalid entry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.hashes import ENTRY_PREFIX, Row, disagreeing, entry_hash

# How many entry numbers away to search for an entry's original position, so that the entry is reported
# as swapped instead of altered.
SWAP_REACH = 20_000

# A moved entry is valid under another number. If only its body was moved, the body matches another entry's
# hash.
_PLACE = """
    SELECT seq FROM audit_entry
     WHERE log = %(log)s AND seq BETWEEN %(seq)s - %(reach)s AND %(seq)s + %(reach)s AND seq <> %(seq)s
       AND (sha256(%(prefix)s || %(prev)s || int8send(seq) || convert_to(%(body)s, 'UTF8')) = %(hash)s
            OR sha256(%(prefix)s || prev_hash || int8send(seq) || convert_to(%(body)s, 'UTF8')) = hash)
     LIMIT 1
"""


class Problem(StrEnum):
    """The kinds of break."""

    # Numbers are missing between two entries.
    GAP = "gap"
    # An entry's body, hash or link was changed.
    ALTERED = "altered"
    # An entry was replaced by one with a valid hash, but the next entry links to the original.
    REWRITTEN = "rewritten"
    # An entry has another entry's number.
    SWAPPED = "swapped"
    # The columns for filters differ from the hashed body.
    COLUMN = "column"
    # The log ends before its head.
    TAIL_CUT = "tail_cut"
    # The head is missing, was set back, or has a different hash than its entry.
    HEAD = "head"
    # The log is consistent but does not match a signed checkpoint, or a checkpoint was changed.
    CHECKPOINT = "checkpoint"


class Broken(Exception):
    """The finding at which verification stopped. ``seq`` is the first entry that is not verified."""

    def __init__(self, problem: Problem, seq: int, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.seq = seq
        self.detail = detail


def diagnose(connection: BaseDatabaseWrapper, *, last_seq: int, last_hash: bytes, row: Row) -> Broken:
    """Return the finding for ``row``, the first invalid entry, which was read after ``last_seq``."""
    if row.seq != last_seq + 1:
        last = row.seq - 1
        missing = (
            f"Entry {last:,} is" if last == last_seq + 1 else f"Entries {last_seq + 1:,} to {last:,} are"
        )
        return Broken(Problem.GAP, last_seq + 1, f"{missing} missing.")
    if row.hash != entry_hash(row.prev_hash, row.seq, row.body):
        return _not_as_hashed(connection, last_hash, row)
    if row.prev_hash != last_hash:
        return _not_following(connection, last_seq, row)
    names = ", ".join(disagreeing(row))
    return Broken(
        Problem.COLUMN,
        row.seq,
        f"Entry {row.seq:,} has altered columns ({names}); its body is unchanged.",
    )


def _not_as_hashed(connection: BaseDatabaseWrapper, last_hash: bytes, row: Row) -> Broken:
    place = _place(connection, row)
    if place is not None:
        return Broken(Problem.SWAPPED, row.seq, f"Entry {row.seq:,} was originally entry {place:,}.")
    expected = entry_hash(last_hash, row.seq, row.body)
    if row.hash == expected:
        part = "its link to the previous entry was altered; its text is unchanged"
    elif expected == _follower_of(connection, row.log, row.seq):
        part = "its hash was altered; its text is unchanged"
    else:
        part = "its text was altered"
    return Broken(Problem.ALTERED, row.seq, f"Entry {row.seq:,} was altered: {part}.")


def _not_following(connection: BaseDatabaseWrapper, last_seq: int, row: Row) -> Broken:
    """Return the finding for two valid neighboring entries that are not linked. The next entry shows which of
    them was replaced.
    """
    if last_seq == 0:
        return Broken(
            Problem.REWRITTEN,
            row.seq,
            f"Entry {row.seq:,} does not link to the start of this log: the log was restarted.",
        )
    vouched = row.hash == _follower_of(connection, row.log, row.seq)
    seq = last_seq if vouched else row.seq
    return Broken(Problem.REWRITTEN, seq, f"Entry {seq:,} was replaced.")


def _follower_of(connection: BaseDatabaseWrapper, log: str, seq: int) -> bytes | None:
    """Return the hash of entry ``seq`` as stored in the next entry or, for the last entry, in the head."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT prev_hash FROM audit_entry WHERE log = %s AND seq = %s", [log, seq + 1])
        row = cursor.fetchone()
        if row is None:
            cursor.execute("SELECT hash FROM audit_head WHERE log = %s AND seq = %s", [log, seq])
            row = cursor.fetchone()
    return None if row is None else bytes(row[0])


def _place(connection: BaseDatabaseWrapper, row: Row) -> int | None:
    """Return another number under which the entry, or its body, is valid."""
    values: dict[str, Any] = {
        "log": row.log,
        "seq": row.seq,
        "reach": SWAP_REACH,
        "prefix": ENTRY_PREFIX,
        "prev": row.prev_hash,
        "body": row.body,
        "hash": row.hash,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PLACE, values)
        found = cursor.fetchone()
    return None if found is None else int(found[0])
