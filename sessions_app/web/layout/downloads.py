"""Downloads of lists as CSV and JSON files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class _Echo:
    """A file-like object whose ``write`` returns the text instead of storing it."""

    def write(self, text: str) -> str:
        return text


def plain(value: object) -> str:
    """Return a cell's text. Text that a spreadsheet would treat as a formula is prefixed with an apostrophe,
    unless it is a number.
    """
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def csv_file(name: str, columns: Sequence[str], lines: Iterable[Iterable[object]]) -> StreamingHttpResponse:
    """Return a CSV file (RFC 4180, UTF-8), streamed as its rows are read."""
    writer = csv.writer(_Echo())

    def rows() -> Iterator[str]:
        yield writer.writerow(columns)
        for line in lines:
            yield writer.writerow([plain(value) for value in line])

    return _file(name, "text/csv; charset=utf-8", rows())


def json_file(name: str, items: Iterable[dict[str, Any]]) -> StreamingHttpResponse:
    """Return a JSON Lines file with one object per line, streamed as its items are read."""
    rows = (json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    return _file(name, "application/x-ndjson; charset=utf-8", rows)


def _file(name: str, kind: str, rows: Iterator[str]) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(rows, content_type=kind)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
