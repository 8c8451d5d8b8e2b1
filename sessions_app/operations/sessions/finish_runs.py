"""Record the ends of many commands in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_ends
from broker.audit.events import Event
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import CommandRun
from sessions_app.operations.grants.cut_unfinished import UNFINISHED, finished
from sessions_app.operations.sessions.finish_run import set_end

_RUNS = Rows(
    CommandRun,
    "grant",
    "target",
    tail="""
WHERE sessions_app_commandrun.id = ANY(%s) ORDER BY sessions_app_commandrun.id
  FOR NO KEY UPDATE OF sessions_app_commandrun SKIP LOCKED
""",
)
_COLUMNS = {
    "state": "text",
    "ended_at": "timestamptz",
    "signal": "text",
    "exit_status": "integer",
    "output_bytes": "bigint",
    "rows": "bigint",
    "recording": "text",
    "recording_digest": "text",
    "recording_bytes": "bigint",
    "reason": "text",
}
_WRITE = f"""
UPDATE sessions_app_commandrun AS run
   SET {", ".join(f"{name} = ended.{name}" for name in _COLUMNS)}
  FROM unnest(%s::bigint[], {", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())})
       AS ended (id, {", ".join(_COLUMNS)})
 WHERE run.id = ended.id
"""  # noqa: S608  # fixed names


@prepared()
def finish_runs(*, ends: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Record how commands ended; each end has the arguments of `finish_run`.

    Return whether each was recorded. An end is left to `finish_run` if its run is locked, is already over, or
    counts against a budget. The entries have the time of the last end.
    """
    with transaction.atomic():
        found = {run.pk: run for run in _RUNS(sorted({end["run_id"] for end in ends}))}
        taken: dict[int, Mapping[str, Any]] = {}
        for end in ends:
            run = found.get(end["run_id"])
            if run is not None and run.pk not in taken and run.state in UNFINISHED and not run.charges:
                taken[run.pk] = end
        for key, end in taken.items():
            set_end(found[key], **{name: value for name, value in end.items() if name not in _ELSEWHERE})
        if taken:
            _write([found[key] for key in taken])
            _record([(found[key], end) for key, end in taken.items()], max(end["now"] for end in ends))
    return [taken.get(end["run_id"]) is end for end in ends]


# Arguments of `finish_run` that concern the entry or budgets.
_ELSEWHERE = ("run_id", "exchanged", "unused", "sent")


def _write(runs: Sequence[CommandRun]) -> None:
    columns = [
        [str(run.state) if name == "state" else getattr(run, name) for run in runs] for name in _COLUMNS
    ]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [[run.pk for run in runs], *columns])


def _record(ended: Sequence[tuple[CommandRun, Mapping[str, Any]]], now: dt.datetime) -> None:
    record_ends(
        event=Event.COMMAND_FINISHED,
        actor=Actor.system("gateway"),
        object_type="grant",
        entries=[(run.grant.ref, finished(run, end.get("exchanged"))) for run, end in ended],
        now=now,
    )
