"""Heartbeats, by which a holder reports that it is still running."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from broker.kernel.errors import Conflict, Forbidden, NotFound
from sessions_app.models import Grant, GrantState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.queries.grants.suspensions import all_above_live

# The grant ends after this many missed heartbeats in a row.
MISSED = 3


class NoHeartbeat(Conflict):
    """The grant does not need heartbeats. Don't send any."""

    code = "no_heartbeat"


class NotItsHolder(Forbidden):
    """Only the holder of a grant can delegate it, get its token or send its heartbeats. Sign in as the
    holder.
    """

    code = "not_its_holder"


def heartbeat_due(grant: Grant, now: dt.datetime) -> dt.datetime | None:
    """Return the deadline for the next heartbeat, counted from ``now``; None if the grant needs no
    heartbeats.
    """
    if grant.heartbeat_seconds is None:
        return None
    return now + MISSED * dt.timedelta(seconds=grant.heartbeat_seconds)


def heartbeat(*, grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    """Extend the deadline for the next heartbeat of an active grant.

    A grant whose heartbeats were missed, and a grant delegated from it, are over even if no process has
    ended them yet. Heartbeats are not recorded, but missed ones are. Raises NotFound, NotItsHolder,
    NoHeartbeat, GrantIsOver.
    """
    grant = Grant.objects.visible_to(actor).filter(pk=grant_id).first()
    if grant is None:
        raise NotFound("Grant not found.")
    if grant.holder_id != actor.pk:
        raise NotItsHolder("Only the holder of a grant can send heartbeats.")
    if grant.heartbeat_seconds is None:
        raise NoHeartbeat(
            f"{grant.ref} needs no heartbeat.", hint="The grant ends when it expires, or when you end it."
        )
    alive = Grant.objects.filter(
        all_above_live(now),
        pk=grant.pk,
        state=GrantState.ACTIVE,
        expires_at__gt=now,
        heartbeat_due_at__gt=now,
    )
    if not alive.update(heartbeat_due_at=heartbeat_due(grant, now)):
        raise GrantIsOver(f"{grant.ref} is not active.", hint="Request new access.")
    grant.refresh_from_db()
    return grant
