"""Checkpoints: signed statements of the record's length and of the root of its Merkle tree.

The tree is updated here and not when an entry is appended, so that the update does not slow down other
transactions. The roots of its full subtrees are stored with the newest checkpoint, so only later entries need
to be read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from broker.audit.checkpoint_key import Signer, signer
from broker.audit.hashes import genesis
from broker.audit.kept_outside import keep_outside, last_kept
from broker.audit.models import MAIN_LOG, AuditCheckpoint, AuditEntry, AuditTree, AuditTrouble
from broker.audit.signed_note import Statement, checkpoint_text, read, sign
from broker.audit.standing import contradiction, settle, standing, write_standing
from broker.audit.tree import Tree
from broker.kernel.errors import StintError

# The check runs every five seconds, so this leaves five more seconds to sign within a minute.
_DUE = dt.timedelta(seconds=50)
# The PostgreSQL advisory lock that is held while a checkpoint is made.
_LOCK = 0x5354_4350

_ENTRIES = """
    SELECT seq, prev_hash, hash FROM audit_entry WHERE log = %s AND seq > %s AND seq <= %s ORDER BY seq
"""
_ALL = 2**63 - 1
# The maximum number of checkpoints that are appended to the file in one step.
_MOST_KEPT = 10_000


class CheckpointRefused(StintError):
    """The checkpoint to sign contradicts an earlier one. Verify the record."""

    code = "checkpoint_refused"
    status = 500


class Contradicted(CheckpointRefused):
    """The record differs from the one that was signed. Access can't be used until an administrator runs
    ``manage.py restored`` or restores the newer database.
    """

    code = "record_contradicted"


@dataclass(slots=True)
class _Grown:
    """A tree, with the hash of its last entry."""

    tree: Tree
    last_hash: bytes


def checkpoint_is_due(*, now: dt.datetime, log: str = MAIN_LOG) -> bool:
    """Whether a checkpoint must be made now.

    A checkpoint is due if the last attempt failed, if the newest checkpoint is almost a minute old and the
    log has grown since then, or if no access can start until the file outside the database is complete. The
    state is in the database, so that a restarted worker loses no time.
    """
    if AuditTrouble.objects.filter(log=log).exists() or (log == MAIN_LOG and standing() == (False, None)):
        return True
    newest = newest_checkpoint(log=log)
    if newest is not None and now - newest.at < _DUE:
        return False
    return AuditEntry.objects.filter(log=log, seq__gt=newest.size if newest else 0).exists()


def make_checkpoint(*, now: dt.datetime, log: str = MAIN_LOG) -> AuditCheckpoint | None:
    """Sign the current log, store the checkpoint, and append it to the file outside the database.

    Earlier checkpoints that could not be written to the file are also appended. A failure is stored with
    its start and reason, for pages and probes.

    Returns None if nothing was appended since the newest checkpoint, or another process is making one. Raises
    CheckpointRefused, CannotDecrypt, the database's errors, and OSError if the file can't be written. In that
    last case, the checkpoint is already in the database.
    """
    try:
        made = _make(now=now, log=log)
        if _keep(log):
            settle()
    except (StintError, OSError) as error:
        if isinstance(error, Contradicted):
            write_standing(error.message)
        AuditTrouble.objects.update_or_create(
            log=log, defaults={"error": str(error)}, create_defaults={"error": str(error), "since": now}
        )
        raise
    return made


def _make(*, now: dt.datetime, log: str) -> AuditCheckpoint | None:
    with_key = signer(now=now, log=log)
    with transaction.atomic():
        if not _alone():
            return None
        newest = newest_checkpoint(log=log)
        _check_kept(log)
        grown = _up_to(newest, log)
        _grow(grown, log)
        _check_standing(log)
        if grown.tree.size == (newest.size if newest else 0):
            return None
        made = _sign(grown.tree, with_key, log=log, now=now)
        _remember(grown, log)
    return made


def _keep(log: str) -> bool:
    """Append missing checkpoints to the file outside the database, oldest first. Return whether the file is
    complete.

    Only one process at a time does this, so that nothing is appended twice.
    """
    with transaction.atomic():
        if log != MAIN_LOG or not _alone():
            return False
        kept = last_kept()
        lacking = AuditCheckpoint.objects.filter(log=log, size__gt=read(kept).size if kept else 0)
        notes = list(lacking.order_by("size").values_list("note", flat=True)[:_MOST_KEPT])
        if notes:
            keep_outside(notes)
        AuditTrouble.objects.filter(log=log).delete()
    return len(notes) < _MOST_KEPT


def newest_checkpoint(*, log: str = MAIN_LOG, using: str = "default") -> AuditCheckpoint | None:
    """Return the newest checkpoint of a log, or None."""
    return AuditCheckpoint.objects.using(using).filter(log=log).order_by("-size").first()


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _check_kept(log: str) -> None:
    """Raise CheckpointRefused if the file outside the database belongs to another record, so that a second
    history is never signed.
    """
    if log != MAIN_LOG:
        return
    note = last_kept()
    try:
        if note is not None:
            read(note)
    except ValueError as error:
        raise CheckpointRefused(
            f"The last checkpoint in {settings.CHECKPOINTS_FILE} can't be read. {error}",
            hint="Keep the file, and set STINT_CHECKPOINTS_FILE to a new one.",
        ) from error
    if why := contradiction():
        raise _contradicted(why)


def _check_standing(log: str) -> None:
    """Raise Contradicted if an earlier comparison found a contradiction that no administrator has resolved
    yet, even if the file was moved.
    """
    if log == MAIN_LOG and (why := standing().contradiction):
        raise _contradicted(why)


def _contradicted(why: str) -> Contradicted:
    return Contradicted(
        why,
        hint=(
            "Run `manage.py audit_verify`. To continue with this record, run `manage.py restored --reason …`."
        ),
    )


def _up_to(newest: AuditCheckpoint | None, log: str) -> _Grown:
    """Return the tree of the newest checkpoint, as stored or, if the stored tree does not match its root,
    rebuilt from all entries.
    """
    if newest is None:
        return _Grown(Tree(), genesis(log))
    kept = AuditTree.objects.filter(log=log, size=newest.size).first()
    tree = kept.under(bytes(newest.root)) if kept else None
    if kept is not None and tree is not None:
        return _Grown(tree, bytes(kept.last_hash))
    grown = _Grown(Tree(), genesis(log))
    _grow(grown, log, until=newest.size)
    if (grown.tree.size, grown.tree.root()) != (newest.size, bytes(newest.root)):
        raise Contradicted(
            f"The entries do not match the newest checkpoint (of {newest.size:,} entries).",
            hint="Run `manage.py audit_verify`, and compare the database with a backup.",
        )
    return grown


def _grow(grown: _Grown, log: str, *, until: int = _ALL) -> None:
    for seq, prev_hash, entry_hash in _read(log, grown.tree.size, until):
        if seq != grown.tree.size + 1 or prev_hash != grown.last_hash:
            raise Contradicted(
                f"Entry {seq:,} does not follow entry {grown.tree.size:,} as recorded in the tree.",
                hint="Run `manage.py audit_verify`, and compare the database with a backup.",
            )
        grown.tree.append(entry_hash)
        grown.last_hash = entry_hash


def _read(log: str, after: int, until: int) -> Iterator[tuple[int, bytes, bytes]]:
    connection.ensure_connection()
    # Use the driver's cursor, for the same reason as ``verify``.
    raw: Any = connection.connection
    with raw.cursor(name="audit_checkpoint", binary=True) as cursor:
        cursor.itersize = 5000
        cursor.execute(_ENTRIES, [log, after, until])
        yield from cursor


def _sign(tree: Tree, with_key: Signer, *, log: str, now: dt.datetime) -> AuditCheckpoint:
    text = checkpoint_text(Statement(with_key.name, tree.size, tree.root()), now)
    return AuditCheckpoint.objects.create(
        log=log,
        size=tree.size,
        root=tree.root(),
        at=now,
        note=sign(text, name=with_key.name, key=with_key.key),
    )


def _remember(grown: _Grown, log: str) -> None:
    AuditTree.objects.update_or_create(
        log=log,
        defaults={
            "size": grown.tree.size,
            "peaks": b"".join(grown.tree.peaks),
            "last_hash": grown.last_hash,
        },
    )
