"""Resume a suspended grant."""

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
from sessions_app.queries.requests.deciders import may_not_release


class NotHeld(Conflict):
    """The grant is not suspended, so there is nothing to resume."""

    code = "not_held"


class MayNotRelease(Forbidden):
    """An approver, or the person who suspended the grant, can resume it, but never the grant's own holder."""

    code = "may_not_release"


def release_grant(*, grant_id: int, actor: Identity, note: str = "", now: dt.datetime) -> Grant:
    """Allow commands under a suspended grant again.

    If it was suspended after too many refused commands, those no longer count, including those under grants
    delegated from it.

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
        if why_not := may_not_release(grant, actor):
            raise MayNotRelease(why_not, hint="Another approver must resume it.")
        if grant.held_at is None or grant.state != GrantState.ACTIVE:
            raise NotHeld(f"{grant.ref} is not suspended.")
        reviewed = {} if grant.held_by_id else {"deviations_after": _last_run(grant)}
        Grant.objects.filter(pk=grant.pk).update(held_at=None, held_by=None, held_note="", **reviewed)
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
            subject=f"{grant.ref} was resumed",
            body=f"{actor} resumed it: new commands can run again.\n{note}".strip(),
        )
    grant.refresh_from_db()
    return grant


def _last_run(grant: Grant) -> int:
    runs = CommandRun.objects.filter(grant__in=in_tree_of(grant))
    return runs.aggregate(last=Max("pk"))["last"] or 0
