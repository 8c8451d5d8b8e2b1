"""Allow, hold or refuse one call of a tool, and record it before anything is sent."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from broker.kernel.tracing import traced
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import life_of_use
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.operations.sessions.record_refused_request import record_dead_token
from sessions_app.operations.sessions.release_held import StillHeld, release_held
from sessions_app.operations.sessions.try_command import HOLD_LASTS, Tried, try_command
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.mcp.decide import DecidedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that is waiting for approval, or was denied. ``by`` is who denied it; empty while it waits."""

    run_id: int
    by: str


@traced("stint.command", lambda *, use, **_: life_of_use(use))
def try_call(*, use: CallUse, session_id: int, call: DecidedCall, now: dt.datetime) -> Tried | Waiting:
    """Record one call with its decision. Nothing may be sent before this has returned `allowed`.

    A call that must be held is answered at once. If an approver allows it meanwhile and the same call is made
    again, it runs once. While it waits, and for five minutes after a denial, no new approval is requested.
    Raises GrantIsOver, but the attempt is recorded even then.
    """
    try:
        return _try(use, session_id, call, now)
    except GrantIsOver:
        record_dead_token(
            token_digest=use.credential_digest, target_name=use.target.name, line=call.line, now=now
        )
        raise


def _try(use: CallUse, session_id: int, call: DecidedCall, now: dt.datetime) -> Tried | Waiting:
    decision = call.decision
    if isinstance(decision, Allowed) and decision.hold:
        before = _before(use, decision, now)
        if before is not None:
            return _again(use, before, call.line, decision, now)
    return try_command(use=use, session=session_id, line=call.line, decision=decision, now=now)


def _before(use: CallUse, decision: Allowed, now: dt.datetime) -> CommandRun | None:
    """Return the newest run of the same call, if it still counts."""
    runs = CommandRun.objects.filter(
        grant=use.grant_id, target=use.target.id, argv=list(decision.argv), tried_at__gt=now - 2 * HOLD_LASTS
    )
    newest = runs.select_related("grant", "decided_by").order_by("-pk").first()
    if newest is None:
        return None
    denied = newest.state == RunState.HOLD_DENIED and newest.ended_at and newest.ended_at > now - HOLD_LASTS
    return newest if denied or newest.may_yet_run(now) else None


def _again(use: CallUse, run: CommandRun, line: str, decision: Allowed, now: dt.datetime) -> Tried | Waiting:
    if run.state == RunState.HELD and run.decided_at is not None:
        try:
            return release_held(use=use, run_id=run.pk, line=line, decision=decision, now=now)
        except StillHeld:
            # An identical call came first, and an approval is valid for one run.
            return Waiting(run_id=run.pk, by="")
    return Waiting(run_id=run.pk, by=str(run.decided_by) if run.state == RunState.HOLD_DENIED else "")
