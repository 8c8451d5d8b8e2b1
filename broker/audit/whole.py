"""Verify the whole log once a day, a part at a time, so that it takes little from anything else however long the log is.

What was verified before is not trusted: it starts at the first entry. Where it goes on is sealed, so only the time at which
it began can be chosen by somebody who writes to the database, by putting an old state back; then the whole log counts as
verified at that time.
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

# How many entries are read at once.
PART = 5_000
EVERY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _At:
    """The last entry that was read, its hash, and the tree up to it."""

    began: dt.datetime
    seq: int
    hash: bytes
    tree: Tree


def whole_is_due(*, now: dt.datetime) -> bool:
    """Whether the whole log must be read: it never was or not for a day, a break was found, or the reading goes on."""
    last = latest_verification()
    if last is None or not last.ok or last.whole_at is None or last.whole_at <= now - EVERY:
        return True
    return AuditReading.objects.filter(log=MAIN_LOG).exists()


def begin_whole(*, now: dt.datetime) -> None:
    """Have the whole log read, unless that is under way."""
    AuditReading.objects.get_or_create(log=MAIN_LOG, defaults={"began_at": now})


def verify_part(
    *, connection: BaseDatabaseWrapper, actor: Actor, now: dt.datetime, most: int = PART
) -> Verdict | None:
    """Read the next part of the main log, from its start if no reading is under way. At its end, or at a break, store and
    record the result, and return it. None: there is more to read, or another process reads it.

    Raises the same errors as ``verify``.
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
    """Return where the reading goes on: at the first entry if what is stored is not what was sealed."""
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
        "began": at.began.isoformat(), "seq": at.seq, "hash": at.hash.hex(), "peaks": [one.hex() for one in at.tree.peaks],
    }  # fmt: skip
    row.seq, row.sealed = at.seq, seal(json.dumps(kept).encode(), place=place_of(row, "sealed"))
    row.save(update_fields=["seq", "sealed"])
