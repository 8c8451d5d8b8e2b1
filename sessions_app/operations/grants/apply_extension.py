"""Move a grant's deadline once the extension is approved."""

from __future__ import annotations

import datetime as dt

from django.db.models import F

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from broker.kernel.enqueue import enqueue
from sessions_app.models import AccessRequest, Grant, GrantState
from sessions_app.operations.grants.errors import GrantIsOver


def apply_extension(*, request: AccessRequest, seconds: int, actor: Actor, now: dt.datetime) -> Grant:
    """Move the end of the grant that ``request`` extends. Call this in the transaction of the approval.

    Sessions continue. A running command keeps the deadline that its target received when the command started.
    Raises GrantIsOver, RecordContradicted.
    """
    check_stands()
    grant = Grant.objects.get(extensions=request)
    later = dt.timedelta(seconds=seconds)
    moved = Grant.objects.filter(pk=grant.pk, state=GrantState.ACTIVE, expires_at__gt=now).update(
        expires_at=F("expires_at") + later, warned_at=None
    )
    if moved != 1:
        raise GrantIsOver("The grant has ended, so it can't be extended.", hint="Request new access.")
    grant.refresh_from_db()
    if grant.leases.filter(made_until__isnull=False, gone_at__isnull=True).exists():
        enqueue("grants.prepare", grant_id=grant.pk)
    record(
        event=Event.GRANT_EXTENDED,
        actor=actor,
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={"request": request.ref, "seconds": seconds, "expires_at": grant.expires_at.isoformat()},
    )
    return grant
