"""Results of statements that were started on a page, kept as recordings: the names of the columns, then the
rows, with one JSON array per line.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings

from sessions_app.gateways.core.recording import Recorder, Recording
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.wire import Fields
from sessions_app.queries.record.recording_files import Room, recording_path

# The maximum amount that is kept of a result. Further rows are only counted.
MOST_ROWS, MOST_BYTES = 5000, 1024 * 1024


@dataclass(slots=True)
class Result:
    """The columns and the first rows of a result, as text; None is NULL."""

    columns: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    _size: int = 0

    def take(self, kind: bytes, content: bytes) -> None:
        """Process one message from the target."""
        if kind == wire.ROW_DESCRIPTION:
            self.columns = _names(Fields(content))
        elif kind == wire.DATA_ROW and len(self.rows) < MOST_ROWS:
            self._size += len(content)
            if self._size <= MOST_BYTES:
                fields = Fields(content)
                values = [fields.value() for _ in range(fields.short())]
                self.rows.append(
                    [None if value is None else value.decode(errors="replace") for value in values]
                )


def _names(fields: Fields) -> list[str]:
    names = []
    for _ in range(fields.short()):
        names.append(fields.string())
        # The column's table and number, and its type's OID, size, modifier and format.
        fields.data(18)
    return names


def write(
    result: Result,
    grant_ref: str,
    run_id: int,
    title: str,
    started: dt.datetime,
    room: Room,
    shown: Callable[[str], str] = str,
) -> Recording:
    """Write a result as the recording of a run, and return it. ``shown`` returns a value as it may be kept.

    Raises OSError.
    """
    recorder = Recorder(
        settings.RECORDINGS_DIR, recording_path(grant_ref, run_id), title=title, started=started, room=room
    )
    for row in (result.columns, *([value and shown(value) for value in row] for row in result.rows)):
        recorder.output(json.dumps(row, ensure_ascii=False).encode() + b"\n", error=False)
    return recorder.close()
