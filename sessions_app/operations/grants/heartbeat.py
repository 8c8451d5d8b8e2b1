"""A holder says that it is still there."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from broker.kernel.errors import Conflict, Forbidden, NotFound
from sessions_app.models import Grant, GrantState
from sessions_app.operations.grants.errors import GrantIsOver

# So many in a row may be missed before the grant ends.
MISSED = 3


class NoHeartbeat(Conflict):
    """The grant needs no heartbeat."""

    code = "no_heartbeat"


class NotItsHolder(Forbidden):
    """Only the holder of a grant sends heartbeats for it."""

    code = "not_its_holder"


def heartbeat_due(grant: Grant, now: dt.datetime) -> dt.datetime | None:
    """Return by when the next heartbeat must have come, counted from now; None where none is needed."""
    if grant.heartbeat_seconds is None:
        return None
    return now + MISSED * dt.timedelta(seconds=grant.heartbeat_seconds)


def heartbeat(*, grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    """Move the moment by which a grant in use must be heard of again. One that was silent for too long stays over, whether
    or not somebody has ended it yet. Not recorded: its absence is.

    Raises NotFound, NotItsHolder, NoHeartbeat, GrantIsOver.
    """
    grant = Grant.objects.visible_to(actor).filter(pk=grant_id).first()
    if grant is None:
        raise NotFound("Grant not found.")
    if grant.holder_id != actor.pk:
        raise NotItsHolder("Only the holder of a grant can send heartbeats.")
    if grant.heartbeat_seconds is None:
        raise NoHeartbeat(
            f"{grant.ref} needs no heartbeat.", hint="It ends when it expires, or when you end it."
        )
    alive = Grant.objects.filter(
        pk=grant.pk, state=GrantState.ACTIVE, expires_at__gt=now, heartbeat_due_at__gt=now
    )
    if not alive.update(heartbeat_due_at=heartbeat_due(grant, now)):
        raise GrantIsOver(f"{grant.ref} is not active.", hint="Request new access.")
    grant.refresh_from_db()
    return grant
