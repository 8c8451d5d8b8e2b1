"""Results of statements that were started on a page.

A result is kept as a recording: the names of the columns, then the rows, with one JSON array per line.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from accounts.models import Identity
from sessions_app.models import CommandRun
from sessions_app.web.display.recording import events, shown_for

MOST_ROWS, MOST_CHARS = 200, 64 * 1024
# Characters of one value in a table.
MOST_VALUE = 200

Row = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a result. None is NULL. ``cut``: a value was shortened. ``total`` is the number of
    rows of the whole result.
    """

    columns: Sequence[str]
    rows: Sequence[Row]
    cut: bool
    total: int

    @property
    def says(self) -> str:
        """What the table leaves out; empty if it is complete."""
        parts = []
        if len(self.rows) < self.total:
            parts.append(f"The first {len(self.rows):,} of {self.total:,} rows.")
        if self.cut:
            parts.append(f"Values are cut after {MOST_VALUE} characters.")
        return " ".join(parts)


def is_result(run: CommandRun) -> bool:
    """Whether a run is a statement that was started on a page. Its recording is its result."""
    return run.grant.cluster.kind == "postgres" and hasattr(run, "order")


def result_of(run: CommandRun, reader: Identity, now: dt.datetime) -> dict[str, object]:
    """Return what a page shows of a run's result, after recording the view. Raises NotFound for a run that
    the reader can't see.
    """
    table = shown_for(run, reader, now, lambda file: table_of(file, run)) if run.recording else None
    return {"is_result": True, "table": table}


def table_of(file: io.BufferedReader, run: CommandRun) -> Table:
    """Return the first rows of a run's result. Raises OSError."""
    found = _rows(file)
    columns, rows, size, cut = next(found, []), [], 0, False
    for row in islice(found, MOST_ROWS):
        size += sum(min(len(value or ""), MOST_VALUE) for value in row)
        if size > MOST_CHARS:
            break
        cut = cut or any(len(value or "") > MOST_VALUE for value in row)
        rows.append([value and _clipped(value) for value in row])
    return Table([name or "" for name in columns], rows, cut, run.rows or 0)


def rows_of(file: io.BufferedReader) -> list[Row]:
    """Return the names of the columns, and every row that is kept. Raises OSError."""
    return list(_rows(file))


def _rows(file: io.BufferedReader) -> Iterator[Row]:
    """Yield the names of the columns, then each row. A row that was cut off is left out."""
    file.seek(0)
    file.readline()
    for line in file:
        for _, text in events(line):
            try:
                row = json.loads(text)
            except ValueError:
                continue
            if isinstance(row, list):
                yield [None if value is None else str(value) for value in row]


def _clipped(value: str) -> str:
    return value if len(value) <= MOST_VALUE else f"{value[:MOST_VALUE]}…"
