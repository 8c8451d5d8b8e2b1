"""Escalate unanswered requests, held commands and reviews."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, transaction

from accounts.models import Identity
from accounts.queries import each_person_in
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import StintError
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Asks,
    CommandRun,
    Escalation,
    Grant,
    GrantState,
    RequestState,
)
from sessions_app.operations.notifications.notify import Words, notify
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.policy.durations import say_duration
from sessions_app.policy.notifying import Step
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.deciders import administrators, holders_of
from sessions_app.queries.requests.to_decide import facts_to_decide, subject_of

log = structlog.get_logger(__name__)

WATCHER = Actor.system("escalation")
BATCH = 200
# If an escalation fails, for example because its entry can't be recorded, it is retried after this long.
# Other escalations are not delayed.
PUT_OFF = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """An item that waits for a decision, with the text of its notification. ``waits`` is False after a
    decision or an end.
    """

    event: Event
    type: str
    ref: str
    policy: AccessPolicy
    by: list[Identity]
    path: str
    subject: str
    waits: bool
    of: AccessRequest | CommandRun | Grant


def escalate(*, now: dt.datetime) -> int:
    """Run the due escalation steps of each policy for requests, held commands and reviews without a decision.

    Each step runs once. Return the number of escalations sent. Run this every few seconds, in any number of
    processes.
    """
    due = Escalation.objects.filter(due_at__lte=now).order_by("due_at").values_list("pk", flat=True)[:BATCH]
    told = 0
    for pk in list(due):
        try:
            told += _one(pk, now)
        except (StintError, DatabaseError, ValueError):
            log.exception("escalation.failed", escalation=pk)
            Escalation.objects.filter(pk=pk).update(due_at=now + PUT_OFF)
    return told


def _one(pk: int, now: dt.datetime) -> int:
    with transaction.atomic():
        row = (
            Escalation.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk=pk, due_at__lte=now)
            .first()
        )
        if row is None:
            return 0
        waiting = _waiting(row, now)
        document = facts.readable_document(waiting.policy)
        steps = document.escalation if document else ()
        if not waiting.waits or row.step >= len(steps):
            Escalation.objects.filter(pk=pk).update(due_at=None)
            return 0
        step = steps[row.step]
        following = steps[row.step + 1] if row.step + 1 < len(steps) else None
        due = None if following is None else row.began_at + dt.timedelta(seconds=following.after)
        Escalation.objects.filter(pk=pk).update(step=row.step + 1, due_at=due)
        _tell(waiting, step, row, now)
    return 1


def _tell(waiting: _Waiting, step: Step, row: Escalation, now: dt.datetime) -> None:
    waited = round((now - row.began_at).total_seconds())
    people = _people(waiting, step)
    record(
        event=waiting.event,
        actor=WATCHER,
        object_type=waiting.type,
        object_ref=waiting.ref,
        now=now,
        data={
            "step": row.step + 1,
            "waited": waited,
            "notified": sorted(person.username for person in people),
            "webhooks": list(step.notify.webhooks),
            **({"run": row.run_id} if row.run_id else {}),
        },
    )
    body = f"No response for {say_duration(max(60, waited // 60 * 60))}."
    if isinstance(waiting.of, Grant):
        notify(
            people=people,
            event=waiting.event,
            subject=waiting.subject,
            body=body,
            path=waiting.path,
            now=now,
            asks=Asks.REVIEW,
            of=waiting.of,
        )
    else:
        notify_approvers(
            people=people,
            event=waiting.event,
            subject=waiting.subject,
            body=_facts(waiting.of, body, now),
            path=waiting.path,
            now=now,
            of=waiting.of,
            again=True,
        )


def _facts(of: AccessRequest | CommandRun, body: str, now: dt.datetime) -> Words:
    if isinstance(of, CommandRun):
        return body
    say = facts_to_decide(of, now)
    return lambda sayer: f"{body}\n{say(sayer)}"


def _people(waiting: _Waiting, step: Step) -> list[Identity]:
    """Return the people in the step's groups, except the person who waits. If the groups are empty, return
    administrators; if the step has only webhooks, return an empty list.
    """
    found = each_person_in(step.notify.groups, but=waiting.by)
    return found or (administrators(but=waiting.by) if step.notify.groups else [])


def _waiting(row: Escalation, now: dt.datetime) -> _Waiting:
    if row.request:
        request = row.request
        return _Waiting(
            event=Event.REQUEST_ESCALATED,
            type="request",
            ref=request.ref,
            policy=request.policy,
            by=[request.requester],
            path=f"/approvals/{request.ref}/",
            subject=f"Reminder: {subject_of(request)}",
            waits=request.state == RequestState.PENDING and request.lapses_at > now,
            of=request,
        )
    if row.run:
        run = row.run
        return _Waiting(
            event=Event.COMMAND_ESCALATED,
            type="grant",
            ref=run.grant.ref,
            policy=run.grant.policy,
            by=holders_of(run.grant),
            path=f"/grants/{run.grant.ref}/",
            subject=f"Reminder: {run.grant.holder} is waiting to run {run.line} on {run.target}",
            waits=run.waits(now),
            of=run,
        )
    if row.grant is None:
        raise ValueError(f"escalation {row.pk} has no subject")
    grant = row.grant
    return _Waiting(
        event=Event.BREAKGLASS_ESCALATED,
        type="grant",
        ref=grant.ref,
        policy=grant.policy,
        by=holders_of(grant),
        path=f"/grants/{grant.ref}/",
        subject=f"Reminder: {grant.ref} needs a review",
        waits=grant.reviewed_at is None and grant.state in (GrantState.REVOKING, GrantState.ENDED),
        of=grant,
    )
