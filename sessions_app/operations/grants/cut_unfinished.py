"""Mark unfinished commands as cut when their session or grant ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.audit.record import Json
from broker.kernel.postgresql.rows import Rows
from broker.kernel.text import recordable
from sessions_app.models import CommandRun, Grant, RunState, Session

UNFINISHED = [RunState.ALLOWED, RunState.RUNNING, RunState.HELD]


_UNFINISHED_OF = {
    of: Rows(
        CommandRun,
        "grant",
        "target",
        tail=f"""
WHERE sessions_app_commandrun.{of} = %s AND sessions_app_commandrun.state IN ('allowed', 'running', 'held')
  FOR NO KEY UPDATE OF sessions_app_commandrun
""",
    )
    for of in ("grant_id", "session_id")
}


def cut_unfinished(*, of: Grant | Session, reason: str, now: dt.datetime) -> list[CommandRun]:
    """Mark as cut the runs of a grant or a session whose end was not reported, and return these runs.

    The caller must write all other rows before it calls ``record_finished`` for each run, because
    the first entry locks the record.
    """
    cut = _UNFINISHED_OF["grant_id" if isinstance(of, Grant) else "session_id"](of.pk)
    for run in cut:
        run.state, run.ended_at, run.reason = RunState.CUT, now, recordable(reason)
    CommandRun.objects.bulk_update(cut, ["state", "ended_at", "reason"])
    return cut


def record_finished(
    *, run: CommandRun, exchanged: Mapping[str, Json] | None = None, now: dt.datetime
) -> None:
    """Record how a command ended, with a summary of the data that HTTP exchanged or SSH transferred."""
    record_end(
        event=Event.COMMAND_FINISHED,
        actor=Actor.system("gateway"),
        object_type="grant",
        object_ref=run.grant.ref,
        now=now,
        data=finished(run, exchanged),
    )


def finished(run: CommandRun, exchanged: Mapping[str, Json] | None) -> dict[str, Json]:
    """Return the data of the entry about a command's end."""
    return {
        "run": run.pk,
        "target": run.target.name,
        "state": str(run.state),
        "exit_status": run.exit_status,
        "signal": run.signal,
        "reason": run.reason,
        "output_bytes": run.output_bytes,
        "recording": run.recording,
        "recording_sha256": run.recording_digest,
        **({"exchanged": dict(exchanged)} if exchanged else {}),
    }
