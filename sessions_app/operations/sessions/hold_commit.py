"""Hold the COMMIT of a transaction whose statements have run."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import place_of as location_of
from broker.kernel.crypto import seal
from broker.kernel.errors import Conflict
from sessions_app.models import CommandRun, Grant, HeldCommit, RunState
from sessions_app.operations.notifications.notify_of_hold import notify_of_hold
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of, place_of
from sessions_app.operations.sessions.limit_holds import limit_holds
from sessions_app.operations.sessions.open_session import lock_live, lock_open
from sessions_app.operations.sessions.try_command import (
    HOLD_LASTS,
    NOBODY_MAY_ALLOW,
    TOO_MANY_WAITING,
    Tried,
)
from sessions_app.policy.commands.answers import Allowed, Refused

WAITS = "This transaction is waiting for approval at its COMMIT, until {} UTC. Its rows stay locked."


class NotUncommitted(Conflict):
    """A statement of the transaction is no longer running. Nothing was committed. Run it again."""

    code = "not_uncommitted"


def hold_commit(
    *,
    use: AnyUse,
    run_ids: Sequence[int],
    decision: Allowed,
    content: Mapping[str, Any],
    lasts: dt.timedelta,
    now: dt.datetime,
) -> Tried:
    """Hold the first of these running statements on behalf of all, and notify approvers.

    ``content`` is what approvers see: each statement with its rows before and after. It is stored encrypted.
    ``decision`` is the decision on the first statement. The hold lasts at most ``lasts``. The result is a
    refusal if too many commands are already waiting. Raises GrantIsOver, SessionIsOver, TokenIsOver,
    NotUncommitted.
    """
    with transaction.atomic():
        grant = lock_live(use, now)
        found = CommandRun.objects.filter(pk__in=run_ids, grant_id=use.grant_id, state=RunState.RUNNING)
        for session_id in set(found.values_list("session_id", flat=True)):
            lock_open(use, session_id)
        runs = list(found.order_by("pk").select_for_update(no_key=True, of=("self",)))
        if len(runs) != len(run_ids):
            raise NotUncommitted("A statement of the transaction is no longer running.", hint="Run it again.")
        run = runs[0]
        if why := limit_holds(grant=grant, now=now):
            return _tried(run, Refused(why, None, TOO_MANY_WAITING), why)
        run.state, run.hold_lapses_at = RunState.HELD, min(now + min(lasts, HOLD_LASTS), grant.expires_at)
        run.save(update_fields=["state", "hold_lapses_at"])
        digest = _store(run, content)
        _record(use, grant, runs, content, digest, now)
        approvable = notify_of_hold(run=run, now=now)
    says = WAITS.format(f"{run.hold_lapses_at:%H:%M:%S}") if approvable else NOBODY_MAY_ALLOW
    return _tried(run, decision, says, approvable=approvable)


def _store(run: CommandRun, content: Mapping[str, Any]) -> str:
    """Store what approvers see, and return its digest."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
    statements = content["statements"]
    held = HeldCommit(run=run, statements=len(statements), touched=sum(one["touched"] for one in statements))
    held.sealed_content = seal(text, place=location_of(held, "sealed_content"))
    held.save(force_insert=True)
    return hashlib.sha256(text).hexdigest()


def _record(
    use: AnyUse,
    grant: Grant,
    runs: Sequence[CommandRun],
    content: Mapping[str, Any],
    digest: str,
    now: dt.datetime,
) -> None:
    run = runs[0]
    record(
        event=Event.COMMAND_HELD,
        actor=holder_of(use),
        object_type="grant",
        object_ref=grant.ref,
        now=now,
        data={
            "run": run.pk,
            "session": run.session_id,
            "target": use.target.name,
            **place_of(use),
            "argv": run.argv,
            "index": run.command_index,
            "commit": {
                "runs": [one.pk for one in runs],
                "touched": [one["touched"] for one in content["statements"]],
                "shown_sha256": digest,
            },
        },
    )


def _tried(run: CommandRun, decision: Allowed | Refused, message: str, *, approvable: bool = True) -> Tried:
    return Tried(
        run_id=run.pk,
        session_id=run.session_id,
        line=run.line,
        verdict="refused" if isinstance(decision, Refused) else "held",
        decision=decision,
        message=message,
        deadline=run.deadline,
        approvable=approvable,
    )
