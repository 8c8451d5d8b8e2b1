"""Remove a legal hold."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import LegalHold


def remove_legal_hold(*, actor: Actor, number: int, reason: str, now: dt.datetime) -> None:
    """Let retention and archiving apply again to the data that the hold with this number protects.

    Raises InvalidInput, NotFound.
    """
    if not reason.strip():
        raise InvalidInput("A reason is required.")
    reason = checked_text(reason, field="reason")
    with transaction.atomic():
        if not LegalHold.objects.in_force().filter(pk=number).update(removed_at=now):
            raise NotFound("Legal hold not found.", hint="`manage.py legal_hold list` lists them.")
        record(
            event=Event.LEGAL_HOLD_REMOVED,
            actor=actor,
            object_type="legal_hold",
            object_ref=str(number),
            now=now,
            data={"reason": reason},
        )
