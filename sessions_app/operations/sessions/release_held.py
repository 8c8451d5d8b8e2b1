"""Start a held command after an approver has allowed it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of, place_of
from sessions_app.operations.sessions.open_session import lock_live, lock_open
from sessions_app.operations.sessions.try_command import Tried, lease
from sessions_app.policy.commands.answers import Allowed


class StillHeld(Conflict):
    """The held command is not approved, or has already run. An approval is valid for one run."""

    code = "still_held"


def release_held(*, use: AnyUse, run_id: int, line: str, decision: Allowed, now: dt.datetime) -> Tried:
    """Move an allowed held command to running, once.

    Raises GrantIsOver, SessionIsOver, TokenIsOver, StillHeld. ``line`` and ``decision`` belong to the held
    attempt, or to an identical one. If they differ from the row that the approver saw, nothing runs.
    """
    with transaction.atomic():
        grant = lock_live(use, now)
        allowed = CommandRun.objects.allowed_once(now).filter(pk=run_id, grant_id=use.grant_id)
        # Lock the session before its run, in the same order as closing a session does.
        for session_id in allowed.values_list("session_id", flat=True):
            lock_open(use, session_id)
        run = allowed.select_for_update(no_key=True, of=("self",)).first()
        if run is None:
            raise StillHeld("The command has not been allowed.", hint="Ask an approver to allow it.")
        if (line, list(decision.argv)) != (run.line, run.argv):
            raise StillHeld("Another command was allowed.", hint="Ask an approver to allow this command.")
        run.deadline = grant.expires_at + dt.timedelta(seconds=decision.finish_seconds or 0)
        run.state, run.started_at = RunState.RUNNING, run.started_at or now
        run.client_address = use.client or run.client_address
        run.save(update_fields=["deadline", "state", "started_at", "client_address"])
        lease(use, now)
        record(
            event=Event.COMMAND_ALLOWED,
            actor=holder_of(use),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={
                "run": run.pk,
                "argv": run.argv,
                "index": decision.index,
                "target": use.target.name,
                "held": True,
                **place_of(use),
            },
        )
    return Tried(
        run_id=run.pk,
        session_id=run.session_id,
        line=line,
        verdict="allowed",
        decision=decision,
        message="",
        deadline=run.deadline,
    )
