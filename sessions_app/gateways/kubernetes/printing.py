"""Print a response of an API server for people: a table, the changed objects, or the reason for a refusal.

The size of the printed text is limited: one wide cell does not pad thousands of rows to its width.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Bytes of a response to print, and characters of the printed text.
MOST = 4 * 1024 * 1024
# Characters of a cell, and the columns and rows of a table.
_MOST_OF_A_CELL, _MOST_COLUMNS, _MOST_ROWS = 256, 50, 20_000
_REST = "… The rest is too large to print."
_NO_OBJECT = "The API server returned no object."
_NOTHING = "No resources found."
_DONE = {"PATCH": "changed", "DELETE": "deleted"}


def printed(data: bytes, media: str, method: str) -> bytes:
    """Return a response of a media type, printed as lines in UTF-8.

    Objects outside a table are only named, because recordings must not contain secrets. A response
    that is not an object is shown only if it is declared as text.
    """
    try:
        text = _within(_lines(json.loads(data), method))
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace") if media == "text/plain" else _NO_OBJECT
    return f"{text}\n".encode("utf-8", "replace")


def _within(lines: Iterable[str]) -> str:
    kept, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > MOST:
            kept.append(_REST)
            break
        kept.append(line)
    return "\n".join(kept)


def _lines(said: Any, method: str) -> Iterator[str]:
    if not isinstance(said, Mapping):
        yield _NO_OBJECT
    elif said.get("kind") == "Status" and said.get("status") == "Failure":
        yield str(said.get("message") or "The API server gave no reason.")
    elif said.get("kind") == "Table":
        yield from _table(said)
    elif isinstance(said.get("items"), list):
        yield from _names(said)
    else:
        name = _name_in(said)
        yield f"{name} {_DONE[method]}" if method in _DONE else name


def _names(said: Mapping[str, Any]) -> Iterator[str]:
    kind = str(said.get("kind", "")).removesuffix("List")
    if not said["items"]:
        yield _NOTHING
    for one in said["items"]:
        if isinstance(one, Mapping):
            yield _name_in({"kind": kind, **one})


def _name_in(said: Mapping[str, Any]) -> str:
    about = said.get("details") if said.get("kind") == "Status" else said.get("metadata")
    name = about.get("name") if isinstance(about, Mapping) else None
    kind = (
        about.get("kind") if said.get("kind") == "Status" and isinstance(about, Mapping) else said.get("kind")
    )
    return f"{_clipped(kind).lower()}/{_clipped(name)}" if name and kind else ""


def _table(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table, with the columns that kubectl shows without -o wide."""
    columns = table.get("columnDefinitions") or []
    shown = [at for at, one in enumerate(columns) if not one.get("priority")][:_MOST_COLUMNS]
    rows = table.get("rows") or []
    if not rows:
        yield _NOTHING
        return
    heads = [_clipped(columns[at].get("name", "")).upper() for at in shown]
    texts = [heads, *([_cell(row.get("cells") or [], at) for at in shown] for row in rows[:_MOST_ROWS])]
    widths = [max(len(line[column]) for line in texts) for column in range(len(shown))]
    for line in texts:
        yield "   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    if len(rows) > _MOST_ROWS:
        yield _REST


def _cell(cells: Sequence[Any], at: int) -> str:
    return _clipped(cells[at]) if at < len(cells) and cells[at] is not None else "<none>"


def _clipped(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_OF_A_CELL else f"{text[: _MOST_OF_A_CELL - 1]}…"
