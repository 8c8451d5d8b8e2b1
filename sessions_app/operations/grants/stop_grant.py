"""End a grant, or end it and kill its commands, when a person requests that."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity, answers_for
from broker.kernel.errors import NotFound
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.text import checked_text
from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant


@prepared()
def stop_grant(
    *, grant_id: int, actor: Identity, now: dt.datetime, note: str = "", kill: bool = False
) -> Grant:
    """End a grant that the actor holds, owns, approves or administers.

    ``kill`` also cuts commands that could otherwise finish.

    Raises NotFound for grants that the actor can't end, and InvalidInput for an invalid note.
    """
    note = checked_text(note, field="note")
    found = Grant.objects.endable_by(actor).filter(pk=grant_id).values_list("holder", "holder__owner")
    if not found:
        raise NotFound("Grant not found, or you can't end it.")
    ((holder, owner),) = found
    own = answers_for(actor, Identity(pk=holder, owner_id=owner))
    reason = EndReason.RELEASED if own else EndReason.REVOKED
    return end_grant(grant_id=grant_id, actor=actor, reason=reason, now=now, note=note, cut=kill)
