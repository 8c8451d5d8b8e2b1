"""Put a grant, a request, an identity's data or a period under legal hold."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import AccessRequest, Grant, LegalHold
from sessions_app.policy.references import request_number, spelled


def add_legal_hold(
    *,
    actor: Actor,
    ref: str = "",
    identity: str = "",
    period: tuple[dt.datetime, dt.datetime] | None = None,
    reason: str,
    now: dt.datetime,
) -> LegalHold:
    """Protect a grant or request, all data of an identity, or all data of a period from being deleted or
    archived.

    Exactly one of ``ref``, ``identity`` and ``period`` (start inclusive, end exclusive) is given.
    Raises InvalidInput, NotFound.
    """
    if bool(ref) + bool(identity) + bool(period) != 1:
        raise InvalidInput("Give a grant or request, an identity, or a period.")
    if period and period[0] >= period[1]:
        raise InvalidInput("The period ends before it starts.")
    if not reason.strip():
        raise InvalidInput("A reason is required.")
    person = Identity.objects.filter(username=canonical_username(identity)).first() if identity else None
    if identity and person is None:
        raise NotFound("Identity not found.")
    starts_at, ends_at = period or (None, None)
    with transaction.atomic():
        hold = LegalHold.objects.create(
            ref=_known(ref) if ref else "",
            identity=person,
            starts_at=starts_at,
            ends_at=ends_at,
            reason=checked_text(reason, field="reason"),
            created_at=now,
        )
        record(
            event=Event.LEGAL_HOLD_ADDED,
            actor=actor,
            object_type="legal_hold",
            object_ref=str(hold.pk),
            now=now,
            data={
                "ref": hold.ref,
                "identity": person.username if person else "",
                "starts_at": starts_at.isoformat() if starts_at else "",
                "ends_at": ends_at.isoformat() if ends_at else "",
                "reason": hold.reason,
            },
        )
    return hold


def _known(ref: str) -> str:
    """Return the reference of a grant, given its own or its request's reference. For a request without a
    grant, return the request's reference.
    """
    ref = spelled(ref.strip())
    request = AccessRequest.objects.filter(number=request_number(ref)).select_related("extends").first()
    if request is not None:
        grant = request.extends or Grant.objects.filter(request=request).first()
        return grant.ref if grant else ref
    if not Grant.objects.filter(ref=ref).exists():
        raise NotFound(f"{ref} not found.", hint="Give the reference of a grant or request.")
    return ref
