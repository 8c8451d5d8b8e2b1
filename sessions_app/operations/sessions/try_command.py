"""Record that one command line was allowed, held or refused, before anything runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.kernel.crypto import place_of as location_of
from broker.kernel.crypto import seal
from broker.kernel.errors import Conflict
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.writes import insert
from broker.kernel.text import MAX_STORED, has_redaction, recordable, recordable_line, recordable_words
from sessions_app.models import CommandOrder, CommandRun, Grant, HeldFile, RunState
from sessions_app.operations.grants.write_lease import write_lease
from sessions_app.operations.notifications.notify_of_hold import notify_of_hold
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of, place_of
from sessions_app.operations.sessions.charge_run import Charged, charge_run
from sessions_app.operations.sessions.limit_holds import limit_holds
from sessions_app.operations.sessions.note_deviation import lock_watched, note_deviation
from sessions_app.operations.sessions.open_session import Opening, add_session, lock_live, lock_open
from sessions_app.operations.sessions.take_use import answered_before, take_use
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.budgets import BUDGET_USED

HOLD_LASTS = dt.timedelta(minutes=5)
WAITS = "This command is waiting for approval, for at most 5 minutes."
NOBODY_MAY_ALLOW = (
    "This command needs approval, but no approver is available. Ask an administrator to name "
    "approvers for the cluster."
)
# The error code if too many commands wait for approval. Another grant would not help.
TOO_MANY_WAITING = "too_many_waiting"
# In characters. A reason may quote the line, and both must fit in one record entry.
MAX_REASON = 1000
UNSHOWN = "it contains a private key, which is masked, so an approver could not read the whole command"
UNREAD = "it is too long for an approver to read"
UNKEPT = "it contains a private key, which is masked, so it can't run from a page"


class NotDecidedHere(Conflict):
    """The decision was made under another grant. Nothing was run. Try the command again."""

    code = "not_decided_here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The outcome of an attempted line. ``line`` is the line as stored.

    ``deadline`` is the latest time at which the command ends. ``serial`` identifies its certificate.
    ``approvable``: someone can approve the command, if it is held. ``counts`` has the measures that budgets
    count of its results (`bytes`, `rows`), which must be charged before they pass.
    """

    run_id: int
    session_id: int
    line: str
    verdict: Literal["allowed", "held", "refused"]
    decision: Allowed | Refused
    message: str
    deadline: dt.datetime | None
    approvable: bool = True
    counts: frozenset[str] = frozenset()

    @property
    def serial(self) -> int:
        """Return the serial number of the command's certificate, which links a target's log to the record."""
        return self.run_id


@prepared()
def try_command(
    *,
    use: AnyUse,
    session: int | Opening,
    line: str,
    decision: Allowed | Refused,
    order_id: int | None = None,
    shown: str | None = None,
    now: dt.datetime,
) -> Tried:
    """Record an attempted line with its decision, and the lease on the target, in one transaction.

    The commands that a grant allows never change, so a decision stays valid as long as its grant does. This
    function reads, under the grant's lock, whether the grant is still active. ``session`` is the id of an
    open session, or describes how to open one. ``order_id`` is the order that led to the attempt; the order
    gets the run. ``shown`` is the text of an upload, stored encrypted for approvers while it is held. Nothing
    may be sent to the target before this function has returned `allowed`. Raises GrantIsOver, SessionIsOver,
    TokenIsOver, NotDecidedHere.
    """
    decision = _storable(decision, line, ordered=order_id is not None)
    with transaction.atomic():
        if isinstance(decision, Refused) or use.compiled.counts:
            # Refusals, and runs that count against budgets, lock the parent grants first.
            lock_watched(grant_id=use.grant_id)
        grant = lock_live(use, now)
        if isinstance(decision, Allowed) and decision.index not in grant.commands:
            raise NotDecidedHere(f"{use.grant_ref} does not have this command.", hint="Connect again.")
        if isinstance(session, Opening):
            session = add_session(use, session, now)
        else:
            lock_open(use, session)
        if isinstance(decision, Refused):
            run = insert(_made(use, session, line, RunState.REFUSED, now, reason=decision.reason))
            _answer(order_id, run)
            _record(Event.COMMAND_REFUSED, use, run, now, {"line": run.line, "why": run.reason})
            note_deviation(grant_id=use.grant_id, now=now)
            return tried_of(run, "refused", decision, explain(decision))
        decision, earlier = answered_before(use=use, line=line, decision=decision)
        waits = decision.hold and not decision.at_commit
        charged = charge_run(grant=grant, use=use, decision=decision, later=waits, now=now)
        if charged.then is not None:
            held = _storable(_held_over(decision, charged), line, ordered=order_id is not None)
            if charged.refused or isinstance(held, Refused):
                return _over_budget(use, session, line, charged, held, now, order_id)
            decision, waits = held, True
        if waits:
            over = charged.then is not None
            return _wait(use, grant, session, line, decision, now, order_id, over=over, shown=shown)
        take_use(earlier)
        run = _start(use, grant, session, line, decision, charged, now)
        _answer(order_id, run)
        lease(use, now)
        _record(Event.COMMAND_ALLOWED, use, run, now, _about(run, decision))
    return tried_of(run, "allowed", decision, "")


def _start(
    use: AnyUse,
    grant: Grant,
    session_id: int,
    line: str,
    decision: Allowed,
    charged: Charged,
    now: dt.datetime,
) -> CommandRun:
    ends = latest_end(grant, decision)
    return insert(
        _made(
            use,
            session_id,
            line,
            RunState.RUNNING,
            now,
            decision=decision,
            deadline=ends,
            charges=charged.charges,
        )
    )


def latest_end(grant: Grant, decision: Allowed) -> dt.datetime:
    """Return the latest time at which a command of a grant ends."""
    return grant.expires_at + dt.timedelta(seconds=decision.finish_seconds or 0)


def _wait(
    use: AnyUse,
    grant: Grant,
    session_id: int,
    line: str,
    decision: Allowed,
    now: dt.datetime,
    order_id: int | None,
    *,
    over: bool,
    shown: str | None,
) -> Tried:
    """Hold a command, unless too many wait. ``over``: because a budget is used up."""
    if why := limit_holds(grant=grant, now=now):
        return _put_off(use, session_id, line, why, now, order_id)
    run = _hold(use, session_id, line, decision, now, order_id, over=over)
    if shown is not None:
        _keep_text(run, shown)
    approvable = notify_of_hold(run=run, now=now)
    says = WAITS if approvable else NOBODY_MAY_ALLOW
    return replace(tried_of(run, "held", decision, says), approvable=approvable)


def _keep_text(run: CommandRun, text: str) -> None:
    held = HeldFile(run=run)
    held.sealed_text = seal(text.encode(), place=location_of(held, "sealed_text"))
    held.save(force_insert=True)


def _held_over(decision: Allowed, charged: Charged) -> Allowed:
    return replace(decision, hold=True, notes=(*decision.notes, f"held because {charged.why}"))


def _over_budget(
    use: AnyUse,
    session_id: int,
    line: str,
    charged: Charged,
    held: Allowed | Refused,
    now: dt.datetime,
    order_id: int | None,
) -> Tried:
    """Refuse a line because a budget is used up, and end the grant if the budget says so."""
    unheld = f", and it can't be held: {held.reason}" if isinstance(held, Refused) else ""
    over = ". The grant has ended" if charged.then == "end" else unheld
    tried = _put_off(use, session_id, line, f"{charged.why}{over}.", now, order_id, code=BUDGET_USED)
    charged.end_grants(now)
    return tried


def _storable(decision: Allowed | Refused, line: str, *, ordered: bool) -> Allowed | Refused:
    """Return the decision, or a refusal if the line must be stored until the command runs, but can't
    be stored unchanged.
    """
    if isinstance(decision, Refused):
        return decision
    if decision.hold and len(line) > MAX_STORED:
        return Refused(UNREAD, None, "value")
    if decision.hold and recordable(line) != line:
        return Refused(UNSHOWN, None, "value")
    if ordered and has_redaction(line):
        return Refused(UNKEPT, None, "value")
    return decision


def tried_of(
    run: CommandRun, verdict: Literal["allowed", "held", "refused"], decision: Allowed | Refused, message: str
) -> Tried:
    """Return the outcome of an attempt that is recorded."""
    return Tried(
        run_id=run.pk,
        session_id=run.session_id,
        line=run.line,
        verdict=verdict,
        decision=decision,
        message=message,
        deadline=run.deadline,
        counts=counted_in(run),
    )


def counted_in(run: CommandRun) -> frozenset[str]:
    """Return the measures that budgets count of a run's results."""
    return frozenset(charge["measure"] for charge in run.charges) & {"bytes", "rows"}


def explain(refused: Refused) -> str:
    """Return the text of a refusal, with the nearest allowed command."""
    nearest = f" Nearest: {refused.nearest}" if refused.nearest else ""
    return f"{refused.reason}.{nearest}" if not refused.reason.endswith(".") else f"{refused.reason}{nearest}"


def lease(use: AnyUse, now: dt.datetime) -> None:
    """Store that the target may have objects or processes of the grant, and the target's address.

    Raises GrantIsOver.
    """
    write_lease(
        grant_id=use.grant_id,
        grant_ref=use.grant_ref,
        target=use.target,
        host_ca=use.host_ca,
        login=use.login,
        actor=holder_of(use),
        now=now,
    )


def _answer(order_id: int | None, run: CommandRun) -> None:
    if order_id is not None:
        CommandOrder.objects.filter(pk=order_id, run__isnull=True).update(run=run)


def _hold(
    use: AnyUse,
    session_id: int,
    line: str,
    decision: Allowed,
    now: dt.datetime,
    order_id: int | None,
    *,
    over: bool,
) -> CommandRun:
    run = insert(_made(use, session_id, line, RunState.HELD, now, decision=decision))
    run.hold_lapses_at = min(now + HOLD_LASTS, use.expires_at)
    run.over_budget = over
    run.save(update_fields=["hold_lapses_at", "over_budget"])
    _answer(order_id, run)
    _record(Event.COMMAND_HELD, use, run, now, _about(run, decision))
    return run


def _about(run: CommandRun, decision: Allowed) -> dict[str, Json]:
    notes: dict[str, Json] = {"notes": list(decision.notes)} if decision.notes else {}
    return {"argv": run.argv, "index": decision.index, **notes}


def _put_off(
    use: AnyUse,
    session_id: int,
    line: str,
    why: str,
    now: dt.datetime,
    order_id: int | None,
    *,
    code: str = TOO_MANY_WAITING,
) -> Tried:
    """Refuse a line that can be tried again later. The refusal does not count as a deviation."""
    run = insert(_made(use, session_id, line, RunState.FAILED, now, reason=why))
    run.ended_at = now
    run.save(update_fields=["ended_at"])
    _answer(order_id, run)
    _record(Event.COMMAND_REFUSED, use, run, now, {"line": run.line, "why": run.reason, "code": code})
    return tried_of(run, "refused", Refused(why, None, code), why)


def run_of(
    use: AnyUse, session_id: int, line: str, decision: Allowed, deadline: dt.datetime, now: dt.datetime
) -> CommandRun:
    """Return the unsaved run of an allowed line that starts now."""
    return _made(use, session_id, line, RunState.RUNNING, now, decision=decision, deadline=deadline)


def _made(
    use: AnyUse,
    session_id: int,
    line: str,
    state: RunState,
    now: dt.datetime,
    *,
    decision: Allowed | None = None,
    deadline: dt.datetime | None = None,
    reason: str = "",
    charges: Sequence[Json] = (),
) -> CommandRun:
    return CommandRun(
        grant_id=use.grant_id,
        session_id=session_id,
        target_id=use.target.id,
        client_address=use.client,
        line=recordable_line(line),
        argv=recordable_words(decision.argv) if decision else [],
        command_index=decision.index if decision else None,
        effect=decision.effect if decision else "",
        state=state,
        reason=recordable(reason[:MAX_REASON]),
        tried_at=now,
        started_at=now if state == RunState.RUNNING else None,
        deadline=deadline,
        untrusted=decision is not None and decision.untrusted,
        notes=recordable("\n".join(decision.notes)) if decision else "",
        charges=list(charges),
    )


def _record(event: Event, use: AnyUse, run: CommandRun, now: dt.datetime, data: dict[str, Json]) -> None:
    record(
        event=event,
        actor=holder_of(use),
        object_type="grant",
        object_ref=use.grant_ref,
        now=now,
        data={**_place(use, run), **data},
    )


def _place(use: AnyUse, run: CommandRun) -> dict[str, Json]:
    return {"run": run.pk, "session": run.session_id, "target": use.target.name, **place_of(use)}


def entry_of(use: AnyUse, run: CommandRun, decision: Allowed) -> dict[str, Json]:
    """Return the data of the entry about an allowed run."""
    return {**_place(use, run), **_about(run, decision)}
