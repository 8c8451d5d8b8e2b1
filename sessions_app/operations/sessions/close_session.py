"""Close a session when the grant is no longer used in it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.enqueue import enqueue
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows
from broker.kernel.postgresql.writes import write
from broker.kernel.text import recordable
from sessions_app.models import Grant, GrantState, Session
from sessions_app.operations.grants.cut_unfinished import cut_unfinished, record_finished
from sessions_app.queries.grants.revocation import is_in_use

_OPEN = Rows(
    Session,
    "grant",
    "target",
    tail="""
WHERE sessions_app_session.id = %s AND sessions_app_session.closed_at IS NULL
  FOR NO KEY UPDATE OF sessions_app_session
""",
)


@prepared()
def close_session(*, session_id: int, reason: str, now: dt.datetime) -> bool:
    """Record that a session has no connections left. A session that is already closed does not change.

    If the grant is ending and this was its last session, its revocation is due immediately. Return whether
    it is.
    """
    reason = recordable(reason)
    with transaction.atomic():
        session = _OPEN.first(session_id)
        if session is None:
            return False
        session.closed_at, session.close_reason = now, reason[:40]
        write(session, "closed_at", "close_reason")
        # If the end of a command was not reported, the command ended with its connection.
        cut = cut_unfinished(of=session, reason=reason, now=now)
        hurried = _hurry_end(session.grant, now)
        for run in cut:
            record_finished(run=run, now=now)
        record_end(
            event=Event.SESSION_CLOSED,
            actor=Actor.system("gateway"),
            object_type="grant",
            object_ref=session.grant.ref,
            now=now,
            data={"session": session.pk, "target": session.target.name, "reason": reason},
        )
    return hurried


def _hurry_end(grant: Grant, now: dt.datetime) -> bool:
    if grant.state != GrantState.REVOKING or is_in_use(grant):
        return False
    # If the grant's end waits for a row lock, the process that updates the row continues the revocation.
    if not Grant.objects.filter(pk=grant.pk, state=GrantState.REVOKING, revoking_at__isnull=False).update(
        next_attempt_at=now
    ):
        return False
    enqueue("grants.deprovision", grant_id=grant.pk)
    return True
