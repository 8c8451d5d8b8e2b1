"""Somebody else looks at what was done behind broken glass."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.queries import same_person
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import Grant, GrantState
from sessions_app.operations.decide_request import AlreadyDecided, MayNotDecide, may_not_decide


class StillInUse(Conflict):
    """What was done behind broken glass is not over yet."""

    code = "still_in_use"


def review_break_glass(*, grant_id: int, reviewer: Identity, note: str, now: dt.datetime) -> Grant:
    """Write down a review. Those who could have approved may review; an administrator may, too, unless it is their own.

    What has not ended can't be reviewed, for more may be done in it. Raises NotFound, MayNotDecide, StillInUse,
    AlreadyDecided, InvalidInput (no note).
    """
    with transaction.atomic():
        grant = (
            Grant.objects.visible_to(reviewer)
            .select_for_update(of=("self",))
            .select_related("request__requester__owner", "request__policy")
            .filter(pk=grant_id, break_glass=True)
            .first()
        )
        if grant is None:
            raise NotFound("There is nothing to review.")
        if why_not := may_not_review(grant, reviewer):
            raise MayNotDecide(why_not, hint="Another approver can review it.")
        if grant.state not in (GrantState.REVOKING, GrantState.ENDED):
            raise StillInUse(
                f"{grant.ref} is still in use.", hint="Review it when it is over, or end it now."
            )
        if grant.reviewed_at is not None:
            raise AlreadyDecided("It was reviewed already.")
        note = checked_text(note, field="note")
        if not note:
            raise InvalidInput("Say what you found.", fields={"note": ["Needed."]})
        grant.reviewed_at, grant.reviewed_by, grant.review_note = now, reviewer, note
        grant.save(update_fields=["reviewed_at", "reviewed_by", "review_note"])
        record(
            event=Event.BREAKGLASS_REVIEWED, actor=actor_of(reviewer), object_type="grant", object_ref=grant.ref,
            now=now, data={"note": grant.review_note},
        )  # fmt: skip
    return grant


def may_not_review(grant: Grant, reviewer: Identity) -> str:
    """Return why this identity may not review the grant when it is over; empty when it may."""
    why_not = may_not_decide(grant.request, reviewer)
    own = Identity.objects.filter(same_person(grant.request.requester), pk=reviewer.pk).exists()
    # Where a policy has no approvers, administrators are the second pair of eyes.
    return "" if reviewer.is_superuser and not own else why_not
