"""Count the refused commands of a grant, and end or hold it when there are too many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import Asks, CommandRun, EndReason, Grant, GrantState, RunState
from sessions_app.models.session import CommandRunQuerySet
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.notifications.notify import notify
from sessions_app.policy.policies import Deviations
from sessions_app.queries import facts
from sessions_app.queries.deciders import deciders_in

WATCHER = Actor.system("deviations")
SHOWN = 10
# Characters per line. All the lines shown must fit in one entry and in an email. The runs have the whole lines.
SHOWN_LENGTH = 200


def lock_watched(*, grant_id: int) -> None:
    """Lock a grant and all grants delegated from it. Call it before the refusal is recorded.

    Ending a grant locks the grant first and the record afterwards. In the opposite order, the two could deadlock.
    """
    found = (
        Grant.objects.filter(pk=grant_id)
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk", flat=True)
    )
    lock_descendants(grant_ids=list(found))


def note_deviation(*, grant_id: int, now: dt.datetime) -> Grant:
    """Check whether a grant has reached the limit on refusals of its policy, or Stint's own if the policy sets none.

    If so, a machine's grant ends. A person's grant is held or ends, as the policy says. Its approvers are notified of
    what was tried. Call it in the transaction of a refusal that began with ``lock_watched``.
    """
    grant = Grant.objects.select_related("policy", "holder", "cluster").get(pk=grant_id)
    if grant.state != GrantState.ACTIVE or grant.held_at is not None:
        return grant
    tried = refused_runs(grant)
    count = tried.count()
    if count < _terms(grant).limit:
        return grant
    lines = [run.line[:SHOWN_LENGTH] for run in tried.order_by("-pk")[:SHOWN]][::-1]
    if _is_held(grant):
        _hold(grant, count, lines, now)
    else:
        note = f"{count} refused, the last: {lines[-1]}"[:500]
        end_grant(grant_id=grant_id, actor=None, reason=EndReason.DEVIATION, now=now, note=note)
    _notify(grant, count, lines, now)
    grant.refresh_from_db()
    return grant


def refused_runs(grant: Grant) -> CommandRunQuerySet:
    """Return the refused commands of a grant since an approver last released it."""
    return CommandRun.objects.filter(grant=grant, state=RunState.REFUSED, pk__gt=grant.deviations_after)


def _terms(grant: Grant) -> Deviations:
    return facts.approved_document(grant.request).deviations_of(person=grant.holder.is_person)


def _is_held(grant: Grant) -> bool:
    """Whether too many refusals hold the grant until an approver has reviewed it, instead of ending it."""
    return grant.holder.is_person and _terms(grant).people == "hold"


def _hold(grant: Grant, count: int, lines: Sequence[str], now: dt.datetime) -> None:
    """Hold the grant, and end what was delegated from it, because its holder could continue through others."""
    for part in lock_descendants(grant_ids=[grant.pk]):
        end_grant(
            grant_id=part.pk, actor=None, reason=EndReason.DEVIATION, now=now, note=f"{grant.ref} is held"
        )
    Grant.objects.filter(pk=grant.pk, held_at__isnull=True).update(held_at=now)
    record(
        event=Event.GRANT_HELD, actor=WATCHER, object_type="grant", object_ref=grant.ref, now=now,
        data={"refused": count, "tried": list(lines)},
    )  # fmt: skip


def _notify(grant: Grant, count: int, lines: Sequence[str], now: dt.datetime) -> None:
    held = _is_held(grant)
    notify(
        people=deciders_in(grant), event=Event.GRANT_HELD, now=now, path=f"/grants/{grant.ref}/",
        asks=Asks.RELEASE if held else Asks.NOTHING, of=grant,
        subject=f"{count} refused commands by {grant.holder} under {grant.ref} on {grant.cluster}",
        body="\n".join([*lines, "", "Nothing more runs until an approver releases it." if held else "The grant has ended."]),
    )  # fmt: skip
