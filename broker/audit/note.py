"""Store the result of a verification, in the record and in the row that pages show."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DatabaseError, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import AuditVerification
from broker.audit.record import record
from broker.audit.verify import Verdict

logger = structlog.get_logger(__name__)


def note_verification(
    *,
    verdict: Verdict,
    actor: Actor,
    now: datetime,
    using: str = "default",
    first_seq: int = 1,
    began: datetime | None = None,
) -> None:
    """Save the verdict as its log's latest, and append ``record.verified`` or ``record.broken`` to the main
    log.

    ``first_seq`` is the entry at which the verification started. This is greater than 1 if an
    earlier verification found the entries before it intact. ``began`` is the time at which the verification
    started, if that was long before ``now``. If a broken log rejects the entry, the finding is only stored in
    the row and logged. Otherwise raises the database's errors.
    """
    with transaction.atomic(using=using):
        AuditVerification.objects.using(using).update_or_create(
            log=verdict.log,
            defaults={
                "at": now,
                "first_seq": first_seq,
                **({"whole_at": began or now} if first_seq == 1 else {}),
                "ok": verdict.ok,
                "entries": _sound(verdict, first_seq),
                "first_bad_seq": verdict.first_bad_seq,
                "problem": verdict.problem or "",
                "detail": verdict.detail,
                "head_hash": verdict.head_hash,
            },
        )
        if verdict.ok:
            return _record(verdict, actor, now, using, first_seq, began)
    try:
        with transaction.atomic(using=using):
            _record(verdict, actor, now, using, first_seq, began)
    except DatabaseError:
        logger.exception("record.broken_and_refuses", log=verdict.log, seq=verdict.first_bad_seq)


def _sound(verdict: Verdict, first_seq: int) -> int:
    """Return the number of intact entries, including those before ``first_seq``.

    The last intact entry may have been replaced.
    """
    if first_seq > 1 and verdict.first_bad_seq is not None:
        return verdict.first_bad_seq - 1
    return first_seq - 1 + verdict.entries


def _record(
    verdict: Verdict, actor: Actor, now: datetime, using: str, first_seq: int, began: datetime | None
) -> None:
    record(
        event=Event.RECORD_VERIFIED if verdict.ok else Event.RECORD_BROKEN,
        actor=actor,
        object_type="log",
        object_ref=verdict.log,
        data={
            "entries": verdict.entries,
            **({"first_seq": first_seq} if first_seq > 1 else {}),
            **({"began": began.isoformat()} if began else {}),
            **({"signed": verdict.signed} if verdict.signed is not None else {}),
            "head_seq": verdict.head_seq,
            "head_hash": verdict.head_hash.hex(),
            "first_bad_seq": verdict.first_bad_seq,
            "problem": verdict.problem,
            "detail": verdict.detail,
        },
        now=now,
        using=using,
    )
