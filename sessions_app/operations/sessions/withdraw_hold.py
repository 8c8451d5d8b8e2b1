"""Withdraw a held command."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity, answered_for_by
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, HeldFile, RunState
from sessions_app.operations.requests.decide_request import AlreadyDecided


def withdraw_hold(*, run_id: int, actor: Identity, now: dt.datetime) -> CommandRun:
    """Withdraw a command that is waiting for approval. The command can no longer be allowed.

    The command must belong to the actor, or to a machine that the actor owns. Raises NotFound (no such
    command), AlreadyDecided (no longer waiting).
    """
    with transaction.atomic():
        run = lock_own_hold(run_id, actor, now)
        run.state, run.ended_at, run.reason = RunState.HOLD_WITHDRAWN, now, f"{actor} withdrew it"
        run.save(update_fields=["state", "ended_at", "reason"])
        HeldFile.objects.filter(run=run).delete()
        record(
            event=Event.COMMAND_HOLD_DECIDED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=run.grant.ref,
            now=now,
            data={
                "run": run.pk,
                "allowed": False,
                "argv": run.argv,
                "target": run.target.name,
                "withdrawn": True,
            },
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('stint_hold', %s)", [str(run.pk)])
    return run


def lock_own_hold(run_id: int, actor: Identity, now: dt.datetime) -> CommandRun:
    """Lock a held command of the actor, or of a machine that the actor owns. Raises NotFound,
    AlreadyDecided.
    """
    run = (
        CommandRun.objects.filter(answered_for_by(actor, "grant__holder"), pk=run_id)
        .select_for_update(no_key=True, of=("self",))
        .select_related("grant__holder__owner", "grant__policy", "grant__cluster", "target")
        .first()
    )
    if run is None:
        raise NotFound("Command not found.")
    if not run.waits(now):
        raise no_longer_waits(run, now)
    return run


def no_longer_waits(run: CommandRun, now: dt.datetime) -> AlreadyDecided:
    """Return the error for a decision on a command that no longer waits, with the reason."""
    return AlreadyDecided(
        f"The command is no longer waiting: {_why_over(run, now)}.",
        hint="The holder can run the command again.",
    )


def _why_over(run: CommandRun, now: dt.datetime) -> str:
    """Return why a command no longer waits, as a clause."""
    if run.state == RunState.CUT and run.reason:
        return run.reason
    if run.state == RunState.HOLD_WITHDRAWN:
        return "it was withdrawn"
    if run.decided_by is not None:
        return f"{run.decided_by} {'denied' if run.state == RunState.HOLD_DENIED else 'allowed'} it"
    if run.state == RunState.HOLD_LAPSED or (run.hold_lapses_at is not None and run.hold_lapses_at <= now):
        return "no one decided it in time"
    return f"{run.grant.ref} has ended" if run.state == RunState.HELD else "it is over"
