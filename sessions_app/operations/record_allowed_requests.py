"""Requests that were allowed are written down, alone or many at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record, recordable
from sessions_app.models import CommandRun, RequestCount, RunState
from sessions_app.operations.authorize_request import GrantFacts
from sessions_app.operations.open_request_session import holder_of
from sessions_app.policy.commands.answers import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRequests:
    """The same request, made ``times`` times in one session from ``first_at`` to ``last_at``."""

    facts: GrantFacts
    session_id: int
    decision: Allowed
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


def record_allowed_requests(*, requests: Sequence[AllowedRequests], now: dt.datetime) -> None:
    """Write each down as one run with its count, and append it to the record, in one transaction."""
    with transaction.atomic():
        runs = CommandRun.objects.bulk_create([_run(one) for one in requests])
        RequestCount.objects.bulk_create(
            RequestCount(run=run, times=one.times, last_at=one.last_at)
            for run, one in zip(runs, requests, strict=True)
        )
        for run, one in zip(runs, requests, strict=True):
            record(
                event=Event.COMMAND_ALLOWED, actor=holder_of(one.facts), object_type="grant",
                object_ref=one.facts.grant_ref, now=now,
                data={
                    "run": run.pk, "session": one.session_id, "target": one.facts.target, "argv": run.argv,
                    "index": one.decision.index, "times": one.times, "first_at": one.first_at.isoformat(),
                    "last_at": one.last_at.isoformat(),
                },
            )  # fmt: skip


def _run(one: AllowedRequests) -> CommandRun:
    return CommandRun(
        grant_id=one.facts.grant_id, session_id=one.session_id, target_id=one.facts.target_id,
        line=recordable(one.decision.line), argv=[recordable(word) for word in one.decision.argv],
        command_index=one.decision.index, effect=one.decision.effect, state=RunState.DONE,
        tried_at=one.first_at, started_at=one.first_at, ended_at=one.last_at,
    )  # fmt: skip
