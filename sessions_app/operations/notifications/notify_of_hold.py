"""Notify the people who can allow a held command."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from accounts.models import Identity
from broker.audit.events import Event
from sessions_app.models import CommandRun, HeldCommit
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notified_first
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import deciders_in


def notify_of_hold(*, run: CommandRun, now: dt.datetime) -> bool:
    """Notify everyone who can allow the command. Return whether anyone can.

    While the same command is waiting, another attempt notifies no one.
    """
    people = deciders_in(run.grant)
    same = CommandRun.objects.waiting(now).filter(grant=run.grant, target=run.target, line=run.line)
    if people and not same.exclude(pk=run.pk).exists():
        document = facts.policy_document(run.grant.policy)
        notify_people_of_hold(run, notified_first(people, document), now)
        await_answer(of=run, document=document, now=now)
    return bool(people)


def notify_people_of_hold(
    run: CommandRun, people: Iterable[Identity], now: dt.datetime, *, again: bool = False
) -> None:
    """Notify these people of a held command. ``again`` is a reminder."""
    until = run.hold_lapses_at or now
    what = _commit(run.held_commit) if hasattr(run, "held_commit") else f"run {run.line}"
    # If the command itself does not require approval, the notification gives the reason for the hold.
    note = run.notes.rpartition("\n")[2]
    why = f"{note[:1].upper()}{note[1:]}. " if run.over_budget and run.notes else ""
    notify_approvers(
        people=people,
        event=Event.COMMAND_HELD,
        subject=f"{run.grant.holder} is waiting to {what} on {run.target}",
        body=lambda say: f"{run.grant.ref}. {why}Allow it once or deny it before {say.moment(until)}.",
        path=f"/grants/{run.grant.ref}/",
        of=run,
        now=now,
        again=again,
    )


def _commit(held: HeldCommit) -> str:
    rows = "1 row" if held.touched == 1 else f"{held.touched} rows"
    return f"commit a change of {rows}, {held.run.line},"
