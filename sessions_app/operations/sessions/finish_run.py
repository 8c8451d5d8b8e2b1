"""Record the end of a command."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.db import transaction

from broker.audit.record import Json
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows
from broker.kernel.postgresql.writes import write
from broker.kernel.text import recordable
from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.cut_unfinished import UNFINISHED, record_finished
from sessions_app.operations.record.recover_recording import take_recording
from sessions_app.operations.sessions.return_charges import return_charges

_ENDS = (RunState.DONE, RunState.CUT, RunState.FAILED)
_WRITTEN = (
    "state",
    "ended_at",
    "signal",
    "exit_status",
    "output_bytes",
    "rows",
    "recording",
    "recording_digest",
    "recording_bytes",
    "reason",
    "charges",
)
# The maximum of the column. SSH sends an exit status as four unsigned bytes.
_GREATEST_STATUS = 2**31 - 1


_RUN = Rows(
    CommandRun,
    "grant",
    "target",
    tail="WHERE sessions_app_commandrun.id = %s FOR NO KEY UPDATE OF sessions_app_commandrun",
)


@prepared()
def finish_run(
    *,
    run_id: int,
    state: str,
    exit_status: int | None = None,
    signal: str = "",
    output_bytes: int = 0,
    rows: int | None = None,
    recording: str = "",
    recording_digest: str = "",
    recording_bytes: int = 0,
    reason: str = "",
    exchanged: Mapping[str, Json] | None = None,
    unused: Mapping[str, int] | None = None,
    sent: bool = False,
    now: dt.datetime,
) -> None:
    """Record how a command ended, with the SHA-256 digest and the size of its recording.

    ``rows`` are those that a statement returned or changed. ``exchanged`` is recorded for requests over HTTP
    (the status, and the sizes and digests of both bodies), for transfers over SSH (the direction, the path,
    the size and the digest) and for statements (the rows and the seconds). A command that is already
    over does not change, except that a recording is added if its gateway was lost. ``state`` is `done` (the
    command exited, even with an error), `cut` (it was terminated, or its end is unknown) or `failed` (nothing
    was sent to the target). Anything else raises ValueError.

    ``unused`` is the number of bytes and rows that were reserved but not used. A run that failed counts only
    if ``sent``: the target received it, and reported an error.
    """
    with transaction.atomic():
        run = _RUN.first(run_id)
        if run is None:
            return
        if run.state not in UNFINISHED:
            if recording and _is_late(run, recording_digest):
                kept = {"file_bytes": recording_bytes, "output_bytes": output_bytes}
                take_recording(run=run, path=recording, digest=recording_digest, **kept, now=now)
            return
        set_end(
            run,
            state=state,
            exit_status=exit_status,
            signal=signal,
            output_bytes=output_bytes,
            rows=rows,
            recording=recording,
            recording_digest=recording_digest,
            recording_bytes=recording_bytes,
            reason=reason,
            now=now,
        )
        if run.charges:
            unsent = run.state == RunState.FAILED and not sent
            return_charges(run=run, unsent=unsent, unused=unused or {}, now=now)
        write(run, *_WRITTEN)
        record_finished(run=run, exchanged=exchanged, now=now)


def set_end(
    run: CommandRun,
    *,
    state: str,
    exit_status: int | None = None,
    signal: str = "",
    output_bytes: int = 0,
    rows: int | None = None,
    recording: str = "",
    recording_digest: str = "",
    recording_bytes: int = 0,
    reason: str = "",
    now: dt.datetime,
) -> None:
    """Set the fields of a run that has ended, without saving it. Raises ValueError for another state."""
    end = RunState(state)
    if end not in _ENDS:
        raise ValueError(f"{state} is not a state in which a command is over.")
    run.state, run.ended_at, run.signal = end, now, recordable(signal)[:16]
    run.exit_status = None if exit_status is None else min(exit_status, _GREATEST_STATUS)
    run.output_bytes, run.recording, run.recording_digest = output_bytes, recording, recording_digest
    run.recording_bytes, run.rows = recording_bytes, rows
    run.reason = recordable(reason)


def _is_late(run: CommandRun, digest: str) -> bool:
    """Whether a gateway that was considered lost reports a recording late.

    A recording that was recovered in the meantime may be shorter.
    """
    return run.state == RunState.CUT and run.recording_purged_at is None and run.recording_digest != digest
