"""The daily verification of the whole log, done in parts, so that even a long log takes few resources.

The verification starts at the first entry and does not trust earlier verifications. Its state is encrypted,
so someone with write access to the database can only restore an old state. The log then counts as fully
verified only as of the start of that old verification.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.actor import Actor
from broker.audit.models import MAIN_LOG, AuditReading
from broker.audit.note import note_verification
from broker.audit.queries import latest_verification
from broker.audit.tree import Tree
from broker.audit.verify import Verdict, verify
from broker.kernel.crypto import CannotDecrypt, place_of, seal, unseal

# The number of entries in a part.
PART = 5_000
EVERY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _At:
    """The state of a verification: its start, the last entry that was read, with its hash, and the tree up to
    that entry.
    """

    began: dt.datetime
    seq: int
    hash: bytes
    tree: Tree


def whole_is_due(*, now: dt.datetime) -> bool:
    """Whether to read the whole log: it has not been read for a day, a break was found, or a verification is
    in progress.
    """
    last = latest_verification()
    if last is None or not last.ok or last.whole_at is None or last.whole_at <= now - EVERY:
        return True
    return AuditReading.objects.filter(log=MAIN_LOG).exists()


def begin_whole(*, now: dt.datetime) -> None:
    """Start a verification of the whole log, unless one is in progress."""
    AuditReading.objects.get_or_create(log=MAIN_LOG, defaults={"began_at": now})


def verify_part(
    *, connection: BaseDatabaseWrapper, actor: Actor, now: dt.datetime, most: int = PART
) -> Verdict | None:
    """Verify the next part of the main log, from its start if no verification is in progress.

    At the end of the log, or at a break, store and record the result, and return it. Returns None if there is
    more to read, or if another process is reading the log. Raises the same errors as ``verify``.
    """
    with transaction.atomic():
        begin_whole(now=now)
        row = (
            AuditReading.objects.select_for_update(skip_locked=True, no_key=True).filter(log=MAIN_LOG).first()
        )
        if row is None:
            return None
        at = _read(row)
        verdict = verify(
            connection=connection,
            from_seq=at.seq + 1,
            anchor=at.hash if at.seq else None,
            tree=at.tree,
            most=most,
        )
        if verdict.ok and not verdict.ended:
            _keep(row, replace(at, seq=verdict.head_seq, hash=verdict.head_hash))
            return None
        row.delete()
        whole = replace(verdict, entries=at.seq + verdict.entries)
        note_verification(verdict=whole, actor=actor, now=now, began=at.began)
    return whole


def _read(row: AuditReading) -> _At:
    """Return the stored state, or the start of the log if the stored state can't be decrypted."""
    start = _At(row.began_at, 0, b"", Tree())
    if not row.sealed:
        return start
    try:
        kept = json.loads(unseal(bytes(row.sealed), place=place_of(row, "sealed")))
        tree = Tree(kept["seq"], [bytes.fromhex(one) for one in kept["peaks"]])
        return _At(dt.datetime.fromisoformat(kept["began"]), kept["seq"], bytes.fromhex(kept["hash"]), tree)
    except (CannotDecrypt, KeyError, ValueError):
        return start


def _keep(row: AuditReading, at: _At) -> None:
    kept = {
        "began": at.began.isoformat(),
        "seq": at.seq,
        "hash": at.hash.hex(),
        "peaks": [one.hex() for one in at.tree.peaks],
    }
    row.seq, row.sealed = at.seq, seal(json.dumps(kept).encode(), place=place_of(row, "sealed"))
    row.save(update_fields=["seq", "sealed"])
