"""Allow, hold or refuse one tool call, and record the decision before anything is sent."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, replace

from django.db import transaction

from broker.kernel.tracing import traced
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.authorize_use import life_of_use
from sessions_app.operations.sessions.proofs.token import CallUse
from sessions_app.operations.sessions.record_refused_request import record_dead_token
from sessions_app.operations.sessions.release_held import StillHeld, release_held
from sessions_app.operations.sessions.try_command import HOLD_LASTS, Tried, try_command
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.mcp.decide import DecidedCall
from sessions_app.queries.grants.earlier_results import seen_by, untrusted_call


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that is waiting for approval, or was denied. ``by`` is the person who denied it; empty while the
    call waits.
    """

    run_id: int
    by: str


@traced("stint.command", lambda *, use, **_: life_of_use(use))
def try_call(*, use: CallUse, session_id: int, call: DecidedCall, now: dt.datetime) -> Tried | Waiting:
    """Record one call with its decision. Nothing may be sent before this function has returned `allowed`.

    A call that must be held is answered immediately. If an approver then allows it and the client repeats it,
    the call runs once, or each time if it was allowed for the rest of the grant. While the call waits, and
    for five minutes after a denial, no new approval is requested. The results of the grant's earlier calls
    may change the decision, but never allow more. Raises GrantIsOver, but the attempt is recorded even in
    that case.
    """
    try:
        return _try(use, session_id, call, now)
    except GrantIsOver:
        record_dead_token(
            token_digest=use.credential_digest, target_name=use.target.name, line=call.line, now=now
        )
        raise


class _Overtaken(Exception):
    """Before the call was recorded, an untrusted call was sent, or the same call was held or denied."""


def _try(use: CallUse, session_id: int, call: DecidedCall, now: dt.datetime) -> Tried | Waiting:
    while True:
        # Each time, another call was recorded, which the next decision takes into account.
        with suppress(_Overtaken):
            return _once(use, session_id, call, now)


def _once(use: CallUse, session_id: int, call: DecidedCall, now: dt.datetime) -> Tried | Waiting:
    """Decide and record a call. Raises _Overtaken."""
    if not call.depends(use.compiled):
        return _record(use, session_id, call.line, call.decision, now)
    seen = seen_by(grant_id=use.grant_id, mark=use.mark, asked=call.asked(use.compiled), now=now)
    decision = call.after(use.compiled, seen)
    with transaction.atomic():
        tried = _record(use, session_id, call.line, decision, now)
        # The grant is locked now, and an untrusted call is recorded under that lock before it is sent.
        if seen.untrusted is None and untrusted_call(use.grant_id, but=tried.run_id) is not None:
            raise _Overtaken
    return tried


def _record(
    use: CallUse, session_id: int, line: str, decision: Allowed | Refused, now: dt.datetime
) -> Tried | Waiting:
    # A call beyond a budget can be held too.
    if not isinstance(decision, Allowed) or not (decision.hold or use.compiled.counts):
        return try_command(use=use, session=session_id, line=line, decision=decision, now=now)
    before = _before(use, decision, now)
    if before is not None:
        return _again(use, before, line, decision, now)
    if decision.hold:
        decision = _as_allowed_before(use, decision)
    with transaction.atomic():
        tried = try_command(use=use, session=session_id, line=line, decision=decision, now=now)
        # The grant is locked now, so no other identical call can be held until this one is recorded.
        if tried.verdict == "held" and _before(use, decision, now, but=tried.run_id) is not None:
            raise _Overtaken
    return tried


def _as_allowed_before(use: CallUse, decision: Allowed) -> Allowed:
    """Return the decision without a hold if an approver allowed this call for the rest of the grant."""
    allowed = CommandRun.objects.filter(
        grant=use.grant_id, target=use.target.id, argv=list(decision.argv), allowed_for_grant=True
    )
    run = allowed.select_related("decided_by").first()
    if run is None:
        return decision
    note = f"allowed for this grant by {run.decided_by}, as run {run.pk}"
    return replace(decision, hold=False, notes=(*decision.notes, note))


def _before(use: CallUse, decision: Allowed, now: dt.datetime, *, but: int = 0) -> CommandRun | None:
    """Return the newest run of the same call other than ``but``, if that run still counts."""
    runs = CommandRun.objects.filter(
        grant=use.grant_id, target=use.target.id, argv=list(decision.argv), tried_at__gt=now - 2 * HOLD_LASTS
    )
    newest = runs.exclude(pk=but).select_related("grant", "decided_by").order_by("-pk").first()
    if newest is None:
        return None
    denied = newest.state == RunState.HOLD_DENIED and newest.ended_at and newest.ended_at > now - HOLD_LASTS
    return newest if denied or newest.may_yet_run(now) else None


def _again(use: CallUse, run: CommandRun, line: str, decision: Allowed, now: dt.datetime) -> Tried | Waiting:
    if run.state == RunState.HELD and run.decided_at is not None:
        try:
            return release_held(use=use, run_id=run.pk, line=line, decision=decision, now=now)
        except StillHeld:
            # An identical call has used the approval, which is valid for one run.
            return Waiting(run_id=run.pk, by="")
    return Waiting(run_id=run.pk, by=str(run.decided_by) if run.state == RunState.HOLD_DENIED else "")
