"""Review another person's break-glass access."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import Grant, GrantState
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.queries.requests.deciders import may_not_review


class StillInUse(Conflict):
    """Break-glass access can be reviewed only after it has ended. End the grant first."""

    code = "still_in_use"


def review_break_glass(*, grant_id: int, reviewer: Identity, note: str, now: dt.datetime) -> Grant:
    """Record a review of break-glass access.

    The reviewer is an administrator or a person who could have approved the access, but never the holder.

    Access that has not ended can't be reviewed, because it may still be used. Raises NotFound, MayNotDecide,
    StillInUse, AlreadyDecided, InvalidInput (no note).
    """
    with transaction.atomic():
        grant = (
            Grant.objects.visible_to(reviewer)
            .select_for_update(no_key=True, of=("self",))
            .select_related("request__requester__owner", "request__policy")
            .filter(pk=grant_id, review_due_at__isnull=False)
            .first()
        )
        if grant is None:
            raise NotFound("There is nothing to review.")
        if why_not := may_not_review(grant, reviewer):
            raise MayNotDecide(why_not, hint="Another approver must review it.")
        if grant.state not in (GrantState.REVOKING, GrantState.ENDED):
            raise StillInUse(
                f"{grant.ref} is still active.", hint="Review the access after it has ended, or end it now."
            )
        if grant.reviewed_at is not None:
            raise AlreadyDecided("This access has already been reviewed.")
        note = checked_text(note, field="note")
        if not note:
            raise InvalidInput("A review note is required.", fields={"note": ["Describe what you found."]})
        grant.reviewed_at, grant.reviewed_by, grant.review_note = now, reviewer, note
        grant.save(update_fields=["reviewed_at", "reviewed_by", "review_note"])
        record(
            event=Event.BREAKGLASS_REVIEWED,
            actor=actor_of(reviewer),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"note": grant.review_note},
        )
    return grant
