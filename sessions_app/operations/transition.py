"""The only way that a grant's state moves, besides the sweep's SQL function."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import F

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.kernel.errors import Conflict
from sessions_app.models import Grant, GrantState

_EVENT = {
    GrantState.PROVISIONING: Event.GRANT_PROVISIONING,
    GrantState.ACTIVE: Event.GRANT_ACTIVE,
    GrantState.REVOKING: Event.GRANT_REVOKING,
    GrantState.ENDED: Event.GRANT_ENDED,
}


class StaleGrant(Conflict):
    """The grant moved on since it was read; nothing was changed."""

    code = "stale_grant"


def transition(
    *,
    grant: Grant,
    to: GrantState,
    actor: Actor,
    now: dt.datetime,
    data: dict[str, Json] | None = None,
    **changes: Any,
) -> Grant:
    """Move the grant from the state and version it was read in, and record it in the same transaction.

    Raises StaleGrant when another writer was first. The database refuses edges that are not allowed.
    """
    moved = Grant.objects.filter(pk=grant.pk, state=grant.state, version=grant.version).update(
        state=to, version=F("version") + 1, **changes
    )
    if moved != 1:
        raise StaleGrant(f"{grant.ref} is no longer {grant.state}.", hint="Load it again.")
    # An end goes on when the record refuses; a start does not.
    write = record_end if to in (GrantState.REVOKING, GrantState.ENDED) else record
    write(
        event=_EVENT[to], actor=actor, object_type="grant", object_ref=grant.ref, now=now,
        data={"from": grant.state, **(data or {})},
    )  # fmt: skip
    grant.refresh_from_db()
    return grant
