"""Begin the end of a grant. The cause can be a button, the API, the deadline, a disabled identity, a changed
policy or a removed cluster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import NotFound
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows
from broker.kernel.tracing import traced
from sessions_app.models import EndIntent, EndReason, Grant, GrantState
from sessions_app.operations.grants.lock_to_end import PATIENCE, lock_to_end
from sessions_app.operations.grants.transition import transition
from sessions_app.operations.notifications.notify_of_end import notify_of_end
from sessions_app.queries.grants.lives import life_of_grant

_OVER = (GrantState.REVOKING, GrantState.ENDED)
# Stores an end intent for the grant, and for each grant delegated from it, that could not be locked. An
# existing intent is changed only to also cut commands.
_INTEND = """
WITH RECURSIVE tree AS (
    SELECT id, state, finish_until FROM sessions_app_grant WHERE id = %(grant)s
    UNION ALL
    SELECT g.id, g.state, g.finish_until FROM sessions_app_grant g JOIN tree ON g.parent_id = tree.id
)
INSERT INTO sessions_app_endintent (grant_id, at, by_id, reason, note, cut)
SELECT id, %(at)s, %(by)s, CASE WHEN id = %(grant)s THEN %(reason)s ELSE 'parent_ended' END,
       CASE WHEN id = %(grant)s THEN %(note)s ELSE %(ref)s END, %(cut)s
  FROM tree
 WHERE id <> ALL(%(locked)s) AND state <> 'ended'
   AND (state <> 'revoking' OR %(cut)s AND finish_until > %(at)s)
   AND NOT EXISTS (SELECT FROM sessions_app_endintent e WHERE e.grant_id = tree.id AND (e.cut OR NOT %(cut)s))
"""


_GRANT = Rows(Grant, tail="WHERE sessions_app_grant.id = %s")
_LOCKED = Rows(Grant, "holder", tail="WHERE sessions_app_grant.id = ANY(%s) ORDER BY sessions_app_grant.id")
_INTENTS = Rows(
    EndIntent,
    "by",
    tail="WHERE sessions_app_endintent.grant_id = ANY(%s) ORDER BY sessions_app_endintent.id",
)


@traced("stint.end", life_of_grant)
@prepared()
def end_grant(
    *,
    grant_id: int,
    actor: Identity | None,
    reason: EndReason,
    now: dt.datetime,
    note: str = "",
    cut: bool = True,
    patience: dt.timedelta = PATIENCE,
) -> Grant:
    """Close a grant's access immediately.

    Then everything that the grant left on targets is removed, and the grant is ENDED once the removal is
    confirmed.

    If ``cut`` is false, running commands with the end policy `finish` may continue for the time that
    approvers saw. A grant that is already ending does not change, except that ``cut`` overrides a `finish` in
    progress. All grants delegated from it, at any depth, end in the same transaction. If another transaction
    locks a grant for longer than ``patience``, access still ends, and the row is updated later (`EndIntent`).
    ``actor`` None means the clock or another part of Stint. Raises NotFound.
    """
    with transaction.atomic():
        grant = _GRANT.first(grant_id)
        if grant is None:
            raise NotFound("Grant not found.")
        if grant.state == GrantState.ENDED or (grant.state == GrantState.REVOKING and not cut):
            return grant
        # Lock all delegated grants before the first entry, which locks the record until the commit.
        locked = lock_to_end(grant_ids=[grant_id], patience=patience)
        settle(locked, now)
        for one in _LOCKED(list(locked)):
            if one.pk == grant_id:
                grant = one
                _end_one(one, actor, reason, note, now, cut=cut)
            else:
                _end_one(one, actor, EndReason.PARENT_ENDED, grant.ref, now, cut=cut)
        _intend(grant, locked, actor, reason, note, now, cut=cut)
        # A grant that another transaction has locked is over because of this intent, because of that
        # transaction's intent, or because that transaction has committed its end.
        return grant if grant_id in locked else Grant.objects.get(pk=grant_id)


def settle(locked: Collection[int], now: dt.datetime) -> None:
    """Update the rows of locked grants to reflect their intended ends.

    The record shows who ended each grant, and when; when the end took effect; and when the row was updated.
    """
    intents = _INTENTS(list(locked))
    if not intents:
        return
    # Do this before the grants are read, because a grant with an intent counts as over.
    EndIntent.objects.filter(pk__in=[intent.pk for intent in intents]).delete()
    ended: dict[int | None, EndIntent] = {}
    for grant in _LOCKED(list(locked)):
        own = [intent for intent in intents if intent.grant_id == grant.pk]
        above = ended.get(grant.parent_id)
        if above and not own:
            # The transaction that had locked the parent grant has delegated from it in the meantime.
            own = [_handed_down(above, grant)]
        for intent in own:
            _follow(grant, intent, now, first=grant.pk not in ended)
            ended.setdefault(grant.pk, intent)
            _intend(
                grant, locked, intent.by, EndReason(intent.reason), intent.note, intent.at, cut=intent.cut
            )


def _handed_down(above: EndIntent, grant: Grant) -> EndIntent:
    return EndIntent(
        grant=grant,
        at=above.at,
        made_at=above.made_at,
        by=above.by,
        reason=EndReason.PARENT_ENDED,
        note=above.grant.ref,
        cut=above.cut,
    )


def _follow(grant: Grant, intent: EndIntent, now: dt.datetime, *, first: bool) -> None:
    moments: dict[str, Json] = {
        "in_effect_at": intent.made_at.isoformat(),
        "settled_at": now.isoformat(),
    }
    if grant.state not in _OVER or not first:
        _end_one(
            grant, intent.by, EndReason(intent.reason), intent.note, intent.at, cut=intent.cut, more=moments
        )
        return
    # The intent took effect before the grant ended in another way, for example at its deadline.
    if intent.cut:
        _cut_now(grant, intent.at)
    _record(grant, intent.by, intent.reason, intent.note, cut=intent.cut, now=intent.at, more=moments)


def _end_one(
    grant: Grant,
    actor: Identity | None,
    reason: EndReason,
    note: str,
    now: dt.datetime,
    *,
    cut: bool,
    more: Mapping[str, Json] | None = None,
) -> None:
    """End a locked grant, with ``more`` details for the record.

    If the grant is already ending, only cut commands that could still finish.
    """
    if grant.state in _OVER:
        if cut and _cut_now(grant, now):
            _record(grant, actor, grant.end_reason, note, cut=True, now=now)
        return
    who = _who(actor)
    facts = {"end_reason": reason, "end_note": note.strip(), "ended_by": actor}
    data: dict[str, Json] = {"reason": reason.value, "note": note.strip(), "cut": cut, **(more or {})}
    if grant.state == GrantState.SCHEDULED:
        transition(grant=grant, to=GrantState.ENDED, actor=who, now=now, data=data, ended_at=now, **facts)
        notify_of_end(grant=grant, now=now)
        return
    transition(
        grant=grant,
        to=GrantState.REVOKING,
        actor=who,
        now=now,
        data=data,
        revoking_at=now,
        next_attempt_at=now,
        finish_until=grant.finish_from(now, cut=cut),
        **facts,
    )
    enqueue("grants.deprovision", grant_id=grant.pk)


def _cut_now(grant: Grant, now: dt.datetime) -> bool:
    """Cut the commands that could still finish under an ending grant, and return whether there were any."""
    if grant.state != GrantState.REVOKING or grant.finish_until is None or grant.finish_until <= now:
        return False
    Grant.objects.filter(pk=grant.pk).update(finish_until=now, next_attempt_at=now)
    grant.refresh_from_db()
    enqueue("grants.deprovision", grant_id=grant.pk)
    return True


def _record(
    grant: Grant,
    actor: Identity | None,
    reason: str,
    note: str,
    *,
    cut: bool,
    now: dt.datetime,
    more: Mapping[str, Json] | None = None,
) -> None:
    record_end(
        event=Event.GRANT_REVOKING,
        actor=_who(actor),
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={"from": grant.state, "reason": reason, "note": note.strip(), "cut": cut, **(more or {})},
    )


def _who(actor: Identity | None) -> Actor:
    return actor_of(actor) if actor else Actor.system("end")


def _intend(
    grant: Grant,
    locked: Collection[int],
    actor: Identity | None,
    reason: EndReason,
    note: str,
    now: dt.datetime,
    *,
    cut: bool,
) -> None:
    """Store end intents for the grants that could not be locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INTEND,
            {
                "grant": grant.pk,
                "ref": grant.ref,
                "at": now,
                "by": actor.pk if actor else None,
                "reason": reason.value,
                "note": note.strip(),
                "cut": cut,
                "locked": list(locked),
            },
        )
