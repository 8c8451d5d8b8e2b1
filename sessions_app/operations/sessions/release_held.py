"""Start a command that was held, once a second person has allowed it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of
from sessions_app.operations.sessions.open_session import lock_live, lock_open
from sessions_app.operations.sessions.try_command import Tried, lease
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.kinds import decide


class StillHeld(Conflict):
    """Nobody has allowed the command, or it has run already: an allowance is good for one run."""

    code = "still_held"


def release_held(*, use: AnyUse, run_id: int, now: dt.datetime) -> Tried:
    """Move an allowed held command to running, once. Raises GrantIsOver, SessionIsOver, TokenIsOver, StillHeld."""
    with transaction.atomic():
        grant = lock_live(use, now)
        run = (
            CommandRun.objects.allowed_once(now)
            .select_for_update(of=("self",))
            .filter(pk=run_id, grant_id=use.grant_id)
            .first()
        )
        if run is None:
            raise StillHeld("The command has not been allowed.", hint="Ask a second person to allow it.")
        lock_open(use, run.session_id)
        decision = decide(use.compiled, run.line)
        if not isinstance(decision, Allowed) or list(decision.argv) != run.argv:
            raise StillHeld("The command is no longer in the grant.", hint="Request new access.")
        run.deadline = grant.expires_at + dt.timedelta(seconds=decision.finish_seconds or 0)
        run.state, run.started_at = RunState.RUNNING, now
        run.save(update_fields=["deadline", "state", "started_at"])
        lease(use, now)
        record(
            event=Event.COMMAND_ALLOWED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={"run": run.pk, "argv": run.argv, "index": decision.index, "target": use.target.name, "held": True},
        )  # fmt: skip
    return Tried(run_id=run.pk, verdict="allowed", decision=decision, message="", deadline=run.deadline)
