"""Count the refused commands of a grant and its tree of delegations, and suspend or end the grant if there
are too many.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import connection

from accounts.models import Kind
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import Asks, CommandRun, EndReason, Grant, GrantState, RunState
from sessions_app.models.session import CommandRunQuerySet
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.notifications.notify import notify
from sessions_app.policy.policies import Deviations
from sessions_app.queries.grants.delegations import chain_of, in_tree_of
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import deciders_in

WATCHER = Actor.system("deviations")
SHOWN = 10
# Characters per line, so that all lines fit in one entry and in an email. The runs contain the full lines.
SHOWN_LENGTH = 200


_LOCK = """
SELECT id FROM sessions_app_grant
 WHERE id = ANY(stint_tree(%s)) AND (state <> 'ended' OR id = %s)
 ORDER BY id FOR NO KEY UPDATE
"""


def lock_watched(*, grant_id: int) -> None:
    """Lock all grants in the tree of delegations that a grant belongs to.

    Call this before any other lock, and before the refusal is recorded. The end of a grant locks the grant,
    then those delegated from it, then the record. A different lock order here could cause a deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [grant_id, grant_id])


def note_deviation(*, grant_id: int, now: dt.datetime) -> Grant:
    """Check whether a grant and its tree of delegations have reached the limit on refused commands, which is
    set by the policy or else is Stint's default.

    If so, the grant at the top is suspended or ends, depending on the policy, and grants delegated from it
    end. If a person holds the top grant and only the limit for machines is reached, the machine's delegated
    grant ends instead. Approvers are notified of the refused commands. Call this in the transaction of a
    refusal that began with ``lock_watched``.
    """
    grant = Grant.objects.select_related("policy", "holder", "cluster").get(pk=grant_id)
    if grant.state != GrantState.ACTIVE or grant.held_at is not None:
        return grant
    reached, tried, count = _reached(grant)
    if reached is None:
        return grant
    lines = [run.line[:SHOWN_LENGTH] for run in tried.order_by("-pk")[:SHOWN]][::-1]
    if _is_held(reached):
        _hold(reached, count, lines, now)
    else:
        note = f"{count} refused, the last: {lines[-1]}"[:500]
        end_grant(grant_id=reached.pk, actor=None, reason=EndReason.DEVIATION, now=now, note=note)
    _notify(reached, count, lines, now)
    grant.refresh_from_db()
    return grant


def _reached(grant: Grant) -> tuple[Grant | None, CommandRunQuerySet, int]:
    """Return the grant whose limit is reached, if any, the refused runs that count, and their number."""
    chain = chain_of(grant)
    tried = CommandRun.objects.filter(
        grant__in=in_tree_of(grant), state=RunState.REFUSED, pk__gt=chain[0].deviations_after
    )
    by_machines = tried.exclude(grant__holder__kind=Kind.PERSON)
    machines = [one for one in chain[1:] if not one.holder.is_person]
    for top, counted in ((chain[0], tried), *((one, by_machines) for one in machines[:1])):
        if (count := counted.count()) >= _terms(top).limit:
            return top, counted, count
    return None, tried, 0


def _terms(grant: Grant) -> Deviations:
    return facts.approved_document(grant).deviations_of(person=grant.holder.is_person)


def _is_held(grant: Grant) -> bool:
    """Whether too many refused commands suspend the grant until an approver reviews it, instead of ending the
    grant.
    """
    return grant.holder.is_person and _terms(grant).people == "hold"


def _hold(grant: Grant, count: int, lines: Sequence[str], now: dt.datetime) -> None:
    """Suspend the grant, and end the grants delegated from it, because its holder could otherwise continue
    through them.
    """
    for part in lock_descendants(grant_ids=[grant.pk]):
        end_grant(
            grant_id=part.pk,
            actor=None,
            reason=EndReason.DEVIATION,
            now=now,
            note=f"{grant.ref} is suspended",
        )
    Grant.objects.filter(pk=grant.pk, held_at__isnull=True).update(held_at=now)
    record(
        event=Event.GRANT_HELD,
        actor=WATCHER,
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={"refused": count, "tried": list(lines)},
    )


def _notify(grant: Grant, count: int, lines: Sequence[str], now: dt.datetime) -> None:
    held = _is_held(grant)
    notify(
        people=deciders_in(grant),
        event=Event.GRANT_HELD,
        now=now,
        path=f"/grants/{grant.ref}/",
        asks=Asks.RELEASE if held else Asks.NOTHING,
        of=grant,
        subject=f"{count} refused commands by {grant.holder} under {grant.ref} on {grant.cluster}",
        body="\n".join(
            [*lines, "", "Nothing new runs until an approver resumes it." if held else "The grant has ended."]
        ),
    )
