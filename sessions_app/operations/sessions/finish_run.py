"""A command is over."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.kernel.text import recordable
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.cut_unfinished import UNFINISHED, record_finished
from sessions_app.operations.recover_recording import take_recording

_ENDS = (RunState.DONE, RunState.CUT, RunState.FAILED)
# What the column holds; SSH carries four bytes without a sign.
_GREATEST_STATUS = 2**31 - 1


def finish_run(
    *,
    run_id: int,
    state: str,
    exit_status: int | None = None,
    signal: str = "",
    output_bytes: int = 0,
    recording: str = "",
    recording_digest: str = "",
    recording_bytes: int = 0,
    reason: str = "",
    now: dt.datetime,
) -> None:
    """Write down how a command ended, with the SHA-256 digest of its recording and its size. One that is over stays as it is;
    only its recording, when it was cut because nobody had heard of its gateway, is put in.

    ``state`` is `done` (it ended by itself), `cut` (it was ended) or `failed` (it could not be started); anything
    else raises ValueError.
    """
    end = RunState(state)
    if end not in _ENDS:
        raise ValueError(f"{state} is not a state in which a command is over.")
    with transaction.atomic():
        run = (
            CommandRun.objects.select_for_update(of=("self",))
            .select_related("grant", "target")
            .filter(pk=run_id)
            .first()
        )
        if run is None:
            return
        if run.state not in UNFINISHED:
            if recording and _is_late(run, recording_digest):
                take_recording(
                    run=run, path=recording, digest=recording_digest, file_bytes=recording_bytes,
                    output_bytes=output_bytes, now=now,
                )  # fmt: skip
            return
        run.state, run.ended_at, run.signal = end, now, recordable(signal)[:16]
        run.exit_status = None if exit_status is None else min(exit_status, _GREATEST_STATUS)
        run.output_bytes, run.recording, run.recording_digest = output_bytes, recording, recording_digest
        run.recording_bytes = recording_bytes
        run.reason = recordable(reason)
        run.save()
        record_finished(run=run, now=now)


def _is_late(run: CommandRun, digest: str) -> bool:
    """Whether a gateway that was given up tells what it has recorded. What was found of that meanwhile may be less."""
    return run.state == RunState.CUT and run.recording_purged_at is None and run.recording_digest != digest
