"""Queries on the record. The caller decides who may see which entries."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from broker.audit.checkpoint import newest_checkpoint
from broker.audit.models import MAIN_LOG, AuditEntry, AuditTrouble, AuditVerification
from broker.kernel.postgresql.rows import Rows, ask

_VERIFICATION = Rows(AuditVerification, tail="WHERE audit_verification.log = %s")
_TROUBLE = Rows(AuditTrouble, tail="WHERE audit_trouble.log = %s")


def entries(
    *,
    log: str = MAIN_LOG,
    object_ref: str | None = None,
    actor: str | None = None,
    event: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    seq: int | None = None,
) -> QuerySet[AuditEntry]:
    """Return the entries that match all given filters, latest first.

    ``event`` is a full name (``grant.ended``) or a family (``grant``). ``since`` is inclusive, ``until`` is
    exclusive.
    """
    exact = {"object_ref": object_ref, "actor": actor, "seq": seq, "at__gte": since, "at__lt": until}
    found = AuditEntry.objects.filter(
        log=log, **{name: value for name, value in exact.items() if value is not None}
    )
    if event is not None:
        found = found.filter(Q(event=event) | Q(event__startswith=f"{event}."))
    return found.order_by("-seq")


def latest_verification(*, log: str = MAIN_LOG) -> AuditVerification | None:
    """Return the result of the latest verification of a log, or None if there was none yet."""
    return _VERIFICATION.first(log)


def checkpoint_trouble(*, log: str = MAIN_LOG) -> AuditTrouble | None:
    """Return the current failure to make checkpoints or to store them outside the database, or None."""
    return _TROUBLE.first(log)


def oldest_unsigned(*, log: str = MAIN_LOG) -> datetime | None:
    """Return the time of the first entry that is not covered by a checkpoint, or None if every entry is."""
    signed = newest_checkpoint(log=log)
    first = AuditEntry.objects.filter(log=log, seq=signed.size + 1 if signed else 1)
    return first.values_list("at", flat=True).first()


def last_number(*, log: str = MAIN_LOG) -> int:
    """Return the number of a log's last entry, or 0 if it has none."""
    return next((seq for (seq,) in ask("SELECT seq FROM audit_head WHERE log = %s", log)), 0)


def families_after(seq: int, *, most: int, log: str = MAIN_LOG) -> list[str] | None:
    """Return the families of the events after an entry, or None if there are more than ``most`` entries."""
    later = AuditEntry.objects.filter(log=log, seq__gt=seq).order_by("seq")
    events = list(later.values_list("event", flat=True)[: most + 1])
    return None if len(events) > most else sorted({event.partition(".")[0] for event in events})
