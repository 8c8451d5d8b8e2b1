"""Start a held command after a second person has allowed it."""

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
from sessions_app.policy.commands.kinds import decide


class StillHeld(Conflict):
    """Nobody has allowed the command, or it has already run: an approval is valid for one run."""

    code = "still_held"


def release_held(*, use: AnyUse, run_id: int, decision: Allowed | None = None, now: dt.datetime) -> Tried:
    """Move an allowed held command to running, once. Raises GrantIsOver, SessionIsOver, TokenIsOver, StillHeld.

    ``decision`` is that on the request which waited itself; without it, its line is decided again.
    """
    with transaction.atomic():
        grant = lock_live(use, now)
        allowed = CommandRun.objects.allowed_once(now).filter(pk=run_id, grant_id=use.grant_id)
        # The session before its run, as who closes it locks them.
        for session_id in allowed.values_list("session_id", flat=True):
            lock_open(use, session_id)
        run = allowed.select_for_update(no_key=True, of=("self",)).first()
        if run is None:
            raise StillHeld("The command has not been allowed.", hint="Ask a second person to allow it.")
        found = decision or decide(use.compiled, run.line)
        if not isinstance(found, Allowed) or list(found.argv) != run.argv:
            raise StillHeld("The command is no longer in the grant.", hint="Request new access.")
        run.deadline = grant.expires_at + dt.timedelta(seconds=found.finish_seconds or 0)
        run.state, run.started_at = RunState.RUNNING, now
        run.client_address = use.client or run.client_address
        run.save(update_fields=["deadline", "state", "started_at", "client_address"])
        lease(use, now)
        record(
            event=Event.COMMAND_ALLOWED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={"run": run.pk, "argv": run.argv, "index": found.index, "target": use.target.name, "held": True, **place_of(use)},
        )  # fmt: skip
    return Tried(run_id=run.pk, verdict="allowed", decision=found, message="", deadline=run.deadline)
