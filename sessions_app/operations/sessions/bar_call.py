"""Record a call that is not made because the tool changed, its server does not respond, or its
client disconnected.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.text import recordable, recordable_line
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import holder_of, place_of
from sessions_app.operations.sessions.open_session import lock_live, lock_open
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.operations.sessions.record_refused_request import record_dead_token
from sessions_app.operations.sessions.try_command import MAX_REASON


def bar_call(*, use: CallUse, session_id: int, line: str, reason: str, now: dt.datetime) -> int:
    """Record a call that was never sent, and return its run's id. It does not count as a deviation.

    Raises GrantIsOver, but the attempt is recorded even in that case.
    """
    try:
        return _bar(use, session_id, line, reason, now)
    except GrantIsOver:
        record_dead_token(
            token_digest=use.credential_digest, target_name=use.target.name, line=line, now=now, note=reason
        )
        raise


def _bar(use: CallUse, session_id: int, line: str, reason: str, now: dt.datetime) -> int:
    with transaction.atomic():
        lock_live(use, now)
        lock_open(use, session_id)
        run = CommandRun.objects.create(
            grant_id=use.grant_id,
            session_id=session_id,
            target_id=use.target.id,
            client_address=use.client,
            line=recordable_line(line),
            state=RunState.FAILED,
            reason=recordable(reason[:MAX_REASON]),
            tried_at=now,
            ended_at=now,
        )
        record(
            event=Event.COMMAND_REFUSED,
            actor=holder_of(use),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={
                "run": run.pk,
                "session": session_id,
                "target": use.target.name,
                "line": run.line,
                "why": run.reason,
                "code": "barred",
                **place_of(use),
            },
        )
    return run.pk
