"""Resume operation with a database that was restored from an older backup."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.sessions.models import Session as SignIn
from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.checkpoint import make_checkpoint
from broker.audit.events import Event
from broker.audit.kept_outside import all_kept, name_aside, set_aside
from broker.audit.models import MAIN_LOG, AuditCheckpoint
from broker.audit.queries import last_number
from broker.audit.record import record
from broker.audit.signed_note import Statement, read, signed_at
from broker.audit.standing import contradiction, standing, write_standing
from broker.audit.whole import verify_part
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import Conflict, InvalidInput
from broker.kernel.text import checked_text
from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant


class NothingWasRestored(Conflict):
    """The record matches the checkpoints outside the database, so there is no restore to accept."""

    code = "nothing_was_restored"


class NothingIsKept(Conflict):
    """The record contradicts the checkpoints, but this process can't read the checkpoints that prove this.
    Run the command where the checkpoints are stored.
    """

    code = "nothing_is_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The outcome of accepting a restore: the lost entries, as far as checkpoints show, and the grants and
    sessions that ended.

    ``kept`` is the last checkpoint that was signed before the restore, and ``kept_at`` its time. ``agreed``
    and ``agreed_at`` are the size and time of the last checkpoint that also matches this record; 0 and None
    if there is none. ``head`` is the number of the record's last entry. ``grants`` lists the grants that were
    ended.
    """

    kept: Statement
    kept_at: dt.datetime | None
    agreed: int
    agreed_at: dt.datetime | None
    head: int
    grants: tuple[str, ...]
    sign_ins: int
    aside: Path

    @property
    def lost(self) -> int:
        """Return the minimum number of lost entries: those that were signed but are missing from this
        record.
        """
        return self.kept.size - self.agreed


def accept_restore(*, reason: str, now: dt.datetime) -> Restored:
    """End every grant and every session, record the loss, archive the earlier checkpoints, and sign this
    record.

    Access that was revoked, disabled or removed since the backup is back in its earlier state. Grants end
    because it is unknown which of them had already ended. A person must review everything else.
    Raises InvalidInput, NothingWasRestored, NothingIsKept, and the errors of ``make_checkpoint``.
    """
    reason = checked_text(reason, field="reason")
    if not reason:
        raise InvalidInput(
            "A reason is required.", hint="Describe what happened.", fields={"reason": ["Required."]}
        )
    if not (standing().contradiction or contradiction()):
        raise NothingWasRestored(
            "The record matches the checkpoints kept outside the database.",
            hint="Nothing to do.",
        )
    found = _compare(now)
    with transaction.atomic():
        grants = tuple(_end_all(reason, now))
        sign_ins, _ = SignIn.objects.all().delete()
        restored = Restored(**found, grants=grants, sign_ins=sign_ins)
        record(
            event=Event.RECORD_RESTORED,
            actor=Actor.system("restored"),
            object_type="log",
            object_ref=MAIN_LOG,
            now=now,
            data={
                "reason": reason,
                "lost": restored.lost,
                "signed_before": restored.kept.size,
                "signed_root": restored.kept.root.hex(),
                "signed_at": _iso(restored.kept_at),
                "agreed": restored.agreed,
                "agreed_at": _iso(restored.agreed_at),
                "head": restored.head,
                "grants": len(grants),
                "sign_ins": sign_ins,
                "checkpoints": restored.aside.name,
            },
        )
        write_standing("")
    set_aside(restored.aside)
    make_checkpoint(now=now)
    # Replaces an earlier verdict that found entries missing. The worker verifies the rest of a long record.
    verify_part(connection=connection, actor=Actor.system("restored"), now=now)
    enqueue("record.verify")
    return restored


def _compare(now: dt.datetime) -> dict[str, Any]:
    """Return the last stored checkpoint, and the last one that matches this record. Raises NothingIsKept."""
    notes = all_kept()
    if not notes:
        raise NothingIsKept(
            "The checkpoints file contains no checkpoint.",
            hint="Run this command where the worker keeps its checkpoints, or set STINT_CHECKPOINTS_FILE.",
        )
    mine = {(one.size, bytes(one.root)) for one in AuditCheckpoint.objects.filter(log=MAIN_LOG).defer("note")}
    said = [(read(note), signed_at(note)) for note in notes]
    kept, kept_at = said[-1]
    agreed = [(one.size, at) for one, at in said if (one.size, one.root) in mine]
    size, at = agreed[-1] if agreed else (0, None)
    return {
        "kept": kept,
        "kept_at": kept_at,
        "agreed": size,
        "agreed_at": at,
        "head": last_number(),
        "aside": name_aside(now),
    }


def _iso(at: dt.datetime | None) -> str | None:
    return at.isoformat() if at else None


def _end_all(reason: str, now: dt.datetime) -> list[str]:
    live = Grant.objects.before_end().select_for_update(no_key=True, of=("self",)).order_by("pk")
    found = list(live)
    for grant in found:
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.RESTORED, now=now, note=reason)
    return [grant.ref for grant in found]
