"""Start a held command after an approver has allowed it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import CommandRun, Grant, RunState
from sessions_app.operations.grants.cut_unfinished import record_finished
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of, place_of
from sessions_app.operations.sessions.charge_run import Charged, charge_run
from sessions_app.operations.sessions.note_deviation import lock_watched
from sessions_app.operations.sessions.open_session import lock_live, lock_open
from sessions_app.operations.sessions.try_command import Tried, counted_in, lease
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.budgets import BUDGET_USED


class StillHeld(Conflict):
    """The held command is not approved, or has already run. An approval is valid for one run."""

    code = "still_held"


def release_held(*, use: AnyUse, run_id: int, line: str, decision: Allowed, now: dt.datetime) -> Tried:
    """Move an allowed held command to running, once.

    Raises GrantIsOver, SessionIsOver, TokenIsOver, StillHeld. ``line`` and ``decision`` belong to the held
    attempt, or to an identical one. If they differ from the row that the approver saw, nothing runs. The
    command is refused if a budget that approvals can't exceed was used up in the meantime.
    """
    with transaction.atomic():
        if use.compiled.counts:
            lock_watched(grant_id=use.grant_id)
        grant = lock_live(use, now)
        allowed = CommandRun.objects.allowed_once(now).filter(pk=run_id, grant_id=use.grant_id)
        # Lock the session before its run, in the same order as closing a session does.
        for session_id in allowed.values_list("session_id", flat=True):
            lock_open(use, session_id)
        run = allowed.select_for_update(no_key=True, of=("self",)).first()
        if run is None:
            raise StillHeld("The command has not been allowed.", hint="Ask an approver to allow the command.")
        if run.allowed_times and not run.uses_left:
            raise StillHeld("All runs of the approval were used.", hint="Try the command again.")
        if (line, list(decision.argv)) != (run.line, run.argv):
            raise StillHeld("Another command was allowed.", hint="Ask an approver to allow this command.")
        # A COMMIT that was held: its statement was counted before it ran.
        charged = Charged(charges=tuple(run.charges))
        if not run.charges:
            charged = charge_run(grant=grant, use=use, decision=decision, approved=True, now=now)
        if charged.then is None:
            _start(use, grant, run, decision, charged, now)
        else:
            run.state, run.ended_at, run.reason = RunState.FAILED, now, f"{charged.why}; nothing was sent"
            run.save(update_fields=["state", "ended_at", "reason"])
            record_finished(run=run, now=now)
            charged.end_grants(now)
    refused = Refused(charged.why, None, BUDGET_USED) if charged.then is not None else None
    return Tried(
        run_id=run.pk,
        session_id=run.session_id,
        line=line,
        verdict="refused" if refused else "allowed",
        decision=refused or decision,
        message=f"{charged.why}." if refused else "",
        deadline=run.deadline,
        counts=counted_in(run),
    )


def _start(
    use: AnyUse, grant: Grant, run: CommandRun, decision: Allowed, charged: Charged, now: dt.datetime
) -> None:
    run.deadline = grant.expires_at + dt.timedelta(seconds=decision.finish_seconds or 0)
    run.state, run.started_at = RunState.RUNNING, run.started_at or now
    run.client_address = use.client or run.client_address
    run.charges = list(charged.charges)
    run.uses_left = max(run.uses_left - 1, 0)
    run.save(update_fields=["deadline", "state", "started_at", "client_address", "charges", "uses_left"])
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
