"""A command is over."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import CommandRun, RunState

_OPEN = [RunState.ALLOWED, RunState.RUNNING, RunState.HELD]


def finish_run(
    *,
    run_id: int,
    state: str,
    exit_status: int | None = None,
    signal: str = "",
    output_bytes: int = 0,
    recording: str = "",
    recording_digest: str = "",
    reason: str = "",
    now: dt.datetime,
) -> None:
    """Write down how a command ended, with the SHA-256 digest of its recording. One that is over stays as it is.

    ``state`` is `done` (it ended by itself), `cut` (it was ended) or `failed` (it could not be started).
    """
    with transaction.atomic():
        run = (
            CommandRun.objects.select_for_update(of=("self",))
            .select_related("grant", "target")
            .filter(pk=run_id, state__in=_OPEN)
            .first()
        )
        if run is None:
            return
        run.state, run.exit_status, run.signal, run.ended_at = RunState(state), exit_status, signal[:16], now
        run.output_bytes, run.recording, run.recording_digest = output_bytes, recording, recording_digest
        run.reason = reason
        run.save()
        record(
            event=Event.COMMAND_FINISHED, actor=Actor.system("gateway"), object_type="grant",
            object_ref=run.grant.ref, now=now,
            data={
                "run": run.pk, "target": run.target.name, "state": state, "exit_status": exit_status,
                "signal": signal, "reason": reason, "output_bytes": output_bytes,
                "recording": recording, "recording_sha256": recording_digest,
            },
        )  # fmt: skip
