"""Release a grant that was suspended after too many refused commands."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Max

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import CommandRun, Grant, GrantState
from sessions_app.operations.notifications.notify import notify
from sessions_app.queries.grants.delegations import in_tree_of
from sessions_app.queries.requests.deciders import may_not_decide_in


class NotHeld(Conflict):
    """The grant is not suspended, so there is nothing to release."""

    code = "not_held"


class MayNotRelease(Forbidden):
    """Only an approver can release a suspended grant, and never the grant's own holder."""

    code = "may_not_release"


def release_grant(*, grant_id: int, actor: Identity, note: str = "", now: dt.datetime) -> Grant:
    """Allow commands under a suspended grant again.

    Earlier refusals no longer count, including those under grants delegated from it.

    Raises NotFound, MayNotRelease, NotHeld.
    """
    note = checked_text(note, field="note")
    with transaction.atomic():
        grant = (
            Grant.objects.visible_to(actor)
            .select_for_update(no_key=True, of=("self",))
            .filter(pk=grant_id)
            .first()
        )
        if grant is None:
            raise NotFound("Grant not found.")
        if why_not := may_not_decide_in(grant, actor):
            raise MayNotRelease(why_not, hint="Another approver must release it.")
        if grant.held_at is None or grant.state != GrantState.ACTIVE:
            raise NotHeld(f"{grant.ref} is not suspended.")
        runs = CommandRun.objects.filter(grant__in=in_tree_of(grant))
        last = runs.aggregate(last=Max("pk"))["last"] or 0
        Grant.objects.filter(pk=grant.pk).update(held_at=None, deviations_after=last)
        record(
            event=Event.GRANT_RELEASED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"note": note},
        )
        notify(
            people=[grant.holder],
            event=Event.GRANT_RELEASED,
            now=now,
            path=f"/grants/{grant.ref}/",
            subject=f"{grant.ref} was released",
            body=f"{actor} reviewed the refused commands.\n{note}".strip(),
        )
    grant.refresh_from_db()
    return grant
