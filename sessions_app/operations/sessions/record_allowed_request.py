"""A request that changes something is written down before it is answered."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.text import recordable_words
from sessions_app.models import CommandRun, RequestCount, RunState
from sessions_app.operations.sessions.authorize_use import holder_of
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.policy.commands.answers import Allowed


def record_allowed_request(*, use: RequestUse, session_id: int, decision: Allowed, now: dt.datetime) -> int:
    """Write down one allowed request; return its run's id."""
    argv = recordable_words(decision.argv)
    with transaction.atomic():
        run = CommandRun.objects.create(
            grant_id=use.grant_id, session_id=session_id, target_id=use.target.id, line=" ".join(argv), argv=argv,
            command_index=decision.index, effect=decision.effect, state=RunState.DONE, tried_at=now, started_at=now,
            ended_at=now,
        )  # fmt: skip
        RequestCount.objects.create(run=run, times=1, last_at=now)
        record(
            event=Event.COMMAND_ALLOWED, actor=holder_of(use), object_type="grant", object_ref=use.grant_ref, now=now,
            data={
                "run": run.pk, "session": session_id, "target": use.target.name, "argv": argv, "index": decision.index,
                "times": 1,
            },
        )  # fmt: skip
    return run.pk
