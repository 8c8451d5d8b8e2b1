"""A call that its grant allows and that can't be made: the tool is another one by now, or its server does not answer."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record, recordable
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.authorize_call import CallUse
from sessions_app.operations.open_session import holder_of, lock_live, lock_open
from sessions_app.operations.try_command import MAX_STORED


def bar_call(*, use: CallUse, session_id: int, line: str, reason: str, now: dt.datetime) -> int:
    """Write down an attempt of which nothing was sent, and return its run's id. It is nobody's deviation.

    Raises GrantIsOver, SessionIsOver, TokenIsOver.
    """
    with transaction.atomic():
        lock_live(use, now)
        lock_open(use, session_id)
        run = CommandRun.objects.create(
            grant_id=use.grant_id, session_id=session_id, target_id=use.target.id, line=recordable(line[:MAX_STORED]),
            state=RunState.FAILED, reason=recordable(reason), tried_at=now, ended_at=now,
        )  # fmt: skip
        record(
            event=Event.COMMAND_REFUSED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={
                "run": run.pk, "session": session_id, "target": use.target.name, "line": run.line, "why": run.reason,
                "code": "barred",
            },
        )  # fmt: skip
    return run.pk
