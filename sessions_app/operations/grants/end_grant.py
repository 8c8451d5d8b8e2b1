"""Begin the end of a grant, for button, API, clock, disabled identity, changed policy and removed cluster."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import NotFound
from sessions_app.models import EndReason, Grant, GrantState
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.grants.transition import transition
from sessions_app.operations.notifications.notify_of_end import notify_of_end


def end_grant(
    *,
    grant_id: int,
    actor: Identity | None,
    reason: EndReason,
    now: dt.datetime,
    note: str = "",
    cut: bool = True,
) -> Grant:
    """Close access at once. Afterwards, what the grant left on targets is revoked, and confirmed before the grant is
    ENDED.

    ``cut`` false lets running commands whose end policy is `finish` continue for as long as approvers saw. A grant that
    is already ending stays as it is, but a cut overrides a `finish` in progress. Everything delegated from it, at any
    depth, ends in the same transaction. ``actor`` None is the clock or another part of Stint. Raises NotFound.
    """
    with transaction.atomic():
        grant = Grant.objects.select_for_update(no_key=True).filter(pk=grant_id).first()
        if grant is None:
            raise NotFound("Grant not found.")
        if grant.state == GrantState.ENDED:
            return grant
        if grant.state == GrantState.REVOKING:
            return _cut_all(grant, actor, note, now) if cut else grant
        # Lock all descendants before the first entry, which locks the record until the commit.
        below = lock_descendants(grant_ids=[grant.pk])
        _end_one(grant, actor, reason, note, now, cut=cut)
        for one in below:
            _end_one(one, actor, EndReason.PARENT_ENDED, grant.ref, now, cut=cut)
    return grant


def _end_one(
    grant: Grant, actor: Identity | None, reason: EndReason, note: str, now: dt.datetime, *, cut: bool
) -> None:
    """End a locked grant. If it is already ending, only cut what it lets finish."""
    if grant.state in (GrantState.REVOKING, GrantState.ENDED):
        if cut and grant.state == GrantState.REVOKING:
            _cut_now(grant, actor, note, now)
        return
    who = _who(actor)
    facts = {"end_reason": reason, "end_note": note.strip(), "ended_by": actor}
    data: dict[str, Json] = {"reason": reason.value, "note": note.strip(), "cut": cut}
    if grant.state == GrantState.SCHEDULED:
        transition(grant=grant, to=GrantState.ENDED, actor=who, now=now, data=data, ended_at=now, **facts)
        notify_of_end(grant=grant, now=now)
        return
    # Counted from the deadline even if the end comes late, so that nothing finishes later than approvers saw.
    finish = min(now, grant.expires_at) + dt.timedelta(seconds=grant.finish_seconds)
    transition(
        grant=grant, to=GrantState.REVOKING, actor=who, now=now, data=data,
        revoking_at=now, next_attempt_at=now, finish_until=None if cut or not grant.finish_seconds else finish, **facts,
    )  # fmt: skip
    enqueue("grants.deprovision", grant_id=grant.pk)


def _cut_all(grant: Grant, actor: Identity | None, note: str, now: dt.datetime) -> Grant:
    """Cut what an ending grant lets finish, and what its descendants let finish."""
    below = lock_descendants(grant_ids=[grant.pk])
    _cut_now(grant, actor, note, now)
    for one in below:
        _end_one(one, actor, EndReason.PARENT_ENDED, grant.ref, now, cut=True)
    return grant


def _who(actor: Identity | None) -> Actor:
    return actor_of(actor) if actor else Actor.system("end")


def _cut_now(grant: Grant, actor: Identity | None, note: str, now: dt.datetime) -> Grant:
    if grant.finish_until is not None and grant.finish_until > now:
        Grant.objects.filter(pk=grant.pk).update(finish_until=now, next_attempt_at=now)
        record_end(
            event=Event.GRANT_REVOKING, actor=_who(actor), object_type="grant", object_ref=grant.ref, now=now,
            data={"from": grant.state, "reason": grant.end_reason, "note": note.strip(), "cut": True},
        )  # fmt: skip
        grant.refresh_from_db()
        enqueue("grants.deprovision", grant_id=grant.pk)
    return grant
