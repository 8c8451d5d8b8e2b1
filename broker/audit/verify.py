"""The verification of a log from its first entry to its head.

A single statement reads everything, so the verification sees one snapshot. Entries that are appended
during the verification don't affect the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.diagnose import Broken, Problem, diagnose
from broker.audit.hashes import Row, disagreeing, entry_hash, framed, genesis
from broker.audit.last_signed import compare_with_known, compare_with_signed
from broker.audit.models import MAIN_LOG
from broker.audit.signed import Signed, contradicted, newest_signed
from broker.audit.tree import BLOCK, Tree

PROGRESS_EVERY = 50_000

Progress = Callable[[int], None]

_ROWS = """
    SELECT seq, prev_hash, body, hash,
           CASE WHEN seq = (SELECT h.seq FROM audit_head h WHERE h.log = %(log)s)
                THEN (SELECT h.hash FROM audit_head h WHERE h.log = %(log)s) END,
           log, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           event, actor, actor_id, object_type, object_ref
      FROM audit_entry WHERE log = %(log)s AND seq >= %(start)s ORDER BY seq LIMIT %(most)s
"""


# An archive counts only if a main-log entry, whose own text is still in the database, has the archive's
# digest.
_ARCHIVES_END = """
    SELECT coalesce(max(a.until), 0) FROM audit_archive a
     WHERE a.log = %s AND EXISTS (
           SELECT FROM audit_entry e WHERE e.log = 'main' AND e.event = 'record.archived'
                  AND strpos(e.body, a.sha256) > 0)
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification.

    ``entries``: the number of intact entries. ``first_bad_seq``: the first entry that is not intact.

    ``signed`` is the number of entries of the newest checkpoint with which the log was compared, or None.
    ``ended`` means that the log was read to its end. If not, ``head_seq`` and ``head_hash`` are those of the
    last entry that was read.
    """

    log: str
    ok: bool
    entries: int
    first_bad_seq: int | None
    problem: Problem | None
    detail: str
    head_seq: int
    head_hash: bytes
    signed: int | None = None
    ended: bool = True
    # The number of entries whose texts are archived, so that only their places in the chain were verified.
    archived: int = 0


@dataclass(slots=True)
class _Walk:
    """The state of a verification: the last valid entry, and the position of the head."""

    seq: int
    hash: bytes
    first: int
    anchor: bytes | None = None
    head_seq: int | None = None
    # All checkpoints of this log, and the checkpoints that the tree has not reached yet, the smallest last.
    signed: list[Signed] = field(default_factory=list)
    ahead: list[Signed] = field(default_factory=list)
    # None if the tree of the entries before the first one is unknown.
    tree: Tree | None = None
    leaves: list[bytes] = field(default_factory=list)
    # Texts can be missing up to this entry, because they are archived.
    archives_end: int = 0
    archived: int = 0

    def is_archived(self, seq: int, body: str) -> bool:
        """Whether an entry's text is in an archive. Its hash is then verified together with the neighboring
        ones.
        """
        return not body and seq <= self.archives_end

    def grow(self, seq: int, entry: bytes) -> None:
        """Add an entry to the tree, a block at a time, and compare the tree with the checkpoints."""
        self.leaves.append(entry)
        if len(self.leaves) == BLOCK or (self.ahead and self.ahead[-1].size == seq):
            self.compare(seq)

    def compare(self, seq: int) -> None:
        """Extend the tree to entry ``seq``, and compare it with the checkpoints of its size."""
        if self.tree is None:
            return
        self.tree.extend(self.leaves)
        self.leaves.clear()
        while self.ahead and self.ahead[-1].size == seq:
            signed = self.ahead.pop()
            if signed.root != self.tree.root():
                raise contradicted(signed)

    def met(self, row: Row) -> None:
        if row.head_hash is None:
            return
        if row.head_hash != row.hash:
            raise Broken(
                Problem.HEAD,
                row.seq,
                f"The head has a different hash for entry {row.seq:,}: the entry was "
                "replaced, or the head was altered.",
            )
        self.head_seq = row.seq


def verify(
    *,
    log: str = MAIN_LOG,
    connection: BaseDatabaseWrapper,
    from_seq: int = 0,
    anchor: bytes | None = None,
    tree: Tree | None = None,
    most: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify a log, and return the verdict. Reading stops at the first break.

    The log is also compared with its newest checkpoint, and with the last checkpoint in the file outside the
    database. With ``from_seq``, only the last entries that each checkpoint covers are compared, or none if
    that would require reading all entries. ``tree`` is the tree of all entries before ``from_seq``; with it,
    the comparison is complete. At most ``most`` entries are read.

    With ``from_seq``, verification starts at that entry and trusts the one before it. With ``anchor``, that
    entry must have this hash, from an earlier verification, and its own text must produce it. ``progress`` is
    called with the number of the current entry every 50,000 entries. Raises the database's errors, and the
    same errors as ``newest_signed``.
    """
    start = max(from_seq, 1)
    with transaction.atomic(using=connection.alias):
        head = _read_head(connection, log)
        walk = _Walk(seq=start - 1, hash=genesis(log), first=start, anchor=anchor)
        walk.tree = Tree() if start == 1 and tree is None else tree
        walk.archives_end = _archives_end(connection, log)
        try:
            walk.signed = newest_signed(log=log, using=connection.alias)
            walk.ahead = [] if walk.tree is None else [one for one in walk.signed if one.size >= start - 1]
            walk.compare(start - 1)
            _read(connection, log, walk, progress, most)
            walk.compare(walk.seq)
            ended = most is None or walk.seq - start + 1 < most
            if ended:
                _check_end(walk, log, head)
            signed = _compared(walk, log, connection.alias) if ended else None
        except Broken as broken:
            return _verdict_of(log, walk, broken)
    return Verdict(
        log=log,
        ok=True,
        entries=walk.seq - start + 1,
        first_bad_seq=None,
        problem=None,
        detail="",
        head_seq=walk.seq,
        head_hash=walk.hash,
        signed=signed,
        ended=ended,
        archived=walk.archived,
    )


def _compared(walk: _Walk, log: str, using: str) -> int | None:
    if walk.tree is None:
        return compare_with_signed(walk.signed, log=log, using=using)
    # Checkpoints of earlier parts are older than the newest one, with which the tree was compared.
    compare_with_known([one for one in walk.signed if one.size < walk.first - 1], log=log, using=using)
    return walk.signed[0].size if walk.signed else None


def _verdict_of(log: str, walk: _Walk, broken: Broken) -> Verdict:
    return Verdict(
        log=log,
        ok=False,
        entries=max(0, min(walk.seq, broken.seq - 1) - walk.first + 1),
        first_bad_seq=broken.seq,
        problem=broken.problem,
        detail=broken.detail,
        head_seq=walk.seq,
        head_hash=walk.hash,
    )


def _read_head(connection: BaseDatabaseWrapper, log: str) -> tuple[int, bytes] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, hash FROM audit_head WHERE log = %s", [log])
        row = cursor.fetchone()
    return None if row is None else (row[0], bytes(row[1]))


def _archives_end(connection: BaseDatabaseWrapper, log: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_ARCHIVES_END, [log])
        end: int = cursor.fetchone()[0]
    return end


def _read(
    connection: BaseDatabaseWrapper, log: str, walk: _Walk, progress: Progress | None, most: int | None
) -> None:
    # Use the driver's cursor, because Django's server-side one is never binary, and a million hashes as hex
    # are slow.
    raw: Any = connection.connection
    with raw.cursor(name="audit_verify", binary=True) as cursor:
        cursor.itersize = 2000
        anchored = walk.first > 1
        cursor.execute(_ROWS, {"log": log, "start": walk.first - anchored, "most": most and most + anchored})
        rows = iter(cursor)
        if anchored:
            _anchor(walk, next(rows, None))
        bad = _follow(walk, rows, progress)
    if bad is not None:
        raise diagnose(connection, last_seq=walk.seq, last_hash=walk.hash, row=bad)


def _anchor(walk: _Walk, values: tuple[Any, ...] | None) -> None:
    row = None if values is None else Row(*values)
    if row is None or row.seq != walk.seq:
        kind = Problem.TAIL_CUT if row is None else Problem.GAP
        raise Broken(kind, walk.seq, f"Entry {walk.seq:,}, where verification starts, is missing.")
    computed = (
        row.hash if walk.is_archived(row.seq, row.body) else entry_hash(row.prev_hash, row.seq, row.body)
    )
    if walk.anchor is not None and not walk.anchor == row.hash == computed:
        raise Broken(
            Problem.REWRITTEN,
            walk.seq,
            f"Entry {walk.seq:,} has changed since the last verification.",
        )
    walk.hash = row.hash
    walk.met(row)


def _follow(walk: _Walk, rows: Iterator[tuple[Any, ...]], progress: Progress | None) -> Row | None:
    """Verify entries until one is not valid, and return that entry."""
    grows = walk.tree is not None
    for values in rows:
        seq, prev_hash, body, stored, head_hash, *columns = values
        if seq != walk.seq + 1 or prev_hash != walk.hash:
            return Row(*values)
        if walk.is_archived(seq, body):
            walk.archived += 1
        elif stored != entry_hash(prev_hash, seq, body) or (
            not framed(body, columns) and disagreeing(Row(*values))
        ):
            return Row(*values)
        if head_hash is not None:
            walk.met(Row(*values))
        if grows:
            walk.grow(seq, stored)
        walk.seq, walk.hash = seq, stored
        if progress and seq % PROGRESS_EVERY == 0:
            progress(seq)
    return None


def _check_end(walk: _Walk, log: str, head: tuple[int, bytes] | None) -> None:
    if walk.head_seq == walk.seq or (walk.seq == 0 and head == (0, walk.hash)):
        return _check_signed(walk)
    if walk.head_seq is not None:
        raise _set_back(walk.head_seq, walk.seq)
    if head is None:
        raise Broken(
            Problem.HEAD, walk.seq + 1, f"The head of the log {log} is missing, so its end is unknown."
        )
    if head[0] > walk.seq:
        raise Broken(
            Problem.TAIL_CUT,
            walk.seq + 1,
            f"The log ends at entry {walk.seq:,}, but {head[0]:,} entries were written: the last "
            f"{head[0] - walk.seq:,} are missing.",
        )
    if head[0] == walk.seq:
        raise Broken(Problem.HEAD, walk.seq + 1, "The head of the empty log was altered.")
    raise _set_back(head[0], walk.seq)


def _check_signed(walk: _Walk) -> None:
    signed = walk.signed[0] if walk.signed else None
    if signed is not None and signed.size > walk.seq:
        raise Broken(
            Problem.CHECKPOINT,
            walk.seq + 1,
            f"The log ends at entry {walk.seq:,}, but {signed.size:,} entries were signed in {signed.where}:"
            " an older backup was restored, or the end was cut off.",
        )


def _set_back(head_seq: int, last_seq: int) -> Broken:
    return Broken(
        Problem.HEAD,
        head_seq + 1,
        f"The head is at entry {head_seq:,}, but the log continues to entry {last_seq:,}: the head was set"
        " back, or entries were added after it.",
    )
