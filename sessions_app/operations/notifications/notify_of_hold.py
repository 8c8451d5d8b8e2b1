"""Tell those who may allow a held command that somebody waits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from accounts.models import Identity
from broker.audit.events import Event
from sessions_app.models import Asks, CommandRun
from sessions_app.operations.notifications.await_answer import await_answer
from sessions_app.operations.notifications.notify import notified_first, notify
from sessions_app.queries import facts
from sessions_app.queries.deciders import deciders_in


def notify_of_hold(*, run: CommandRun, now: dt.datetime) -> bool:
    """Write a notice for everybody who may allow the command, once for the same command while it could be allowed:
    trying it again and again tells nobody more. Return whether there is anybody.
    """
    people = deciders_in(run.grant)
    same = CommandRun.objects.waiting(now).filter(grant=run.grant, target=run.target, line=run.line)
    if people and not same.exclude(pk=run.pk).exists():
        document = facts.policy_document(run.grant.policy)
        notify_people_of_hold(run, notified_first(people, document), now)
        await_answer(of=run, document=document, now=now)
    return bool(people)


def hold_subject(run: CommandRun) -> str:
    """Return what a notice of a held command says first, as it is kept."""
    return f"{run.grant.holder} is waiting to run {run.line} on {run.target}"[:200]


def notify_people_of_hold(run: CommandRun, people: Iterable[Identity], now: dt.datetime) -> None:
    """Write the notice of a held command for some people."""
    until = run.hold_lapses_at or now
    notify(
        people=people,
        event=Event.COMMAND_HELD,
        subject=hold_subject(run),
        body=lambda say: f"{run.grant.ref}. Allow it once or deny it before {say.moment(until)}.",
        path=f"/grants/{run.grant.ref}/",
        asks=Asks.DECISION,
        of=run,
        now=now,
    )
