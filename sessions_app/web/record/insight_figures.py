"""A figure of the insight page: a chart, and a table whose numbers link to the underlying rows."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.urls import reverse
from django.utils.safestring import SafeString

from broker.kernel.moments import say_day
from sessions_app.queries.status.periods import Part, Period

TONES = ("info", "warn", "bad", "glass", "mute")


class Value(NamedTuple):
    """One value: its number (None if there is none), its text, and the address of the underlying rows, if
    any.
    """

    number: float | None
    text: str
    url: str = ""


class Row(NamedTuple):
    """A row of a figure: a day, a week or a cluster. ``mark`` is the first day as a date, or the cluster's
    name.
    """

    label: str
    mark: str
    values: Sequence[Value]

    @property
    def cells(self) -> SafeString:
        """The table cells. A page has hundreds of them, so they are rendered without a template."""
        return SafeString("".join(map(_cell, self.values)))


def _cell(value: Value) -> str:
    number = "" if value.number is None else value.number
    text = f'<a href="{html.escape(value.url)}">{value.text}</a>' if value.url else value.text
    return f'<td data-v="{number}">{text}</td>'


class Head(NamedTuple):
    """A column. ``tone`` is the tone of its series; empty if the column is not in the chart."""

    name: str
    tone: str


def _day(row: Row) -> str:
    label = html.escape(row.label)
    return f'<tr data-day="{row.mark}"><th scope="row">{label}</th>{row.cells}\n</tr>\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its table. ``kind`` is `bars` (stacked counts), `lines` (times on a logarithmic scale) or
    `ranks` (a table whose last column, a share from 0 to 1, has bars).

    The first ``drawn`` columns are series of the chart; the others are only in the table. ``limit`` is the
    position of a line in the chart, in seconds. ``says`` summarizes the figure in a sentence.
    """

    key: str
    title: str
    says: str
    kind: str
    first: str
    columns: Sequence[str]
    rows: Sequence[Row]
    drawn: int
    url: str = ""
    link: str = ""
    note: str = ""
    limit: float | None = None
    tones: Sequence[str] = TONES

    @property
    def heads(self) -> Iterator[Head]:
        """The columns."""
        for number, name in enumerate(self.columns):
            yield Head(name, self.tones[number] if number < self.drawn else "")

    @property
    def is_empty(self) -> bool:
        """Whether the chart would be empty."""
        return not any(value.number for row in self.rows for value in row.values)

    @property
    def days(self) -> SafeString:
        """The rows of a figure over time. A page has hundreds of them, as of their cells."""
        return SafeString("".join(map(_day, self.rows)))

    def lines(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of a CSV file. Times are in seconds."""
        for row in self.rows:
            yield row.mark, *(value.number for value in row.values)

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The columns of a CSV file."""
        unit = " (s)" if self.kind == "lines" else ""
        drawn = (f"{name}{unit}" for name in self.columns[: self.drawn])
        return (self.first, *drawn, *self.columns[self.drawn :])


class Links:
    """The addresses of the lists with the underlying rows of a period and its parts."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self._whole = Part(period.first, period.today)
        self._pages = {name: reverse(name) for name in ("grants", "requests", "record")}

    def grants(self, part: Part | None = None, **filters: str) -> str:
        """Return the address of the matching grants."""
        return self._to("grants", part, {"show": "all", **filters})

    def requests(self, part: Part | None = None, **filters: str) -> str:
        """Return the address of the matching requests."""
        return self._to("requests", part, {"show": "all", **filters})

    def record(self, event: str, part: Part | None = None, **filters: str) -> str:
        """Return the address of the record's entries for an event."""
        return self._to("record", part, {"event": event, **filters})

    def _to(self, page: str, part: Part | None, filters: dict[str, str]) -> str:
        first, last = part or self._whole
        # Names of clusters, events and filters need no escaping.
        given = "&".join(f"{name}={value}" for name, value in filters.items())
        return f"{self._pages[page]}?{given}&since={first}&until={last}"


def label_of(part: Part) -> str:
    """Return the label of a part of the period: `Sat 28 Nov`, or `23 to 29 Nov`."""
    if part.first == part.last:
        return say_day(part.first)
    same = part.first.month == part.last.month
    return f"{part.first:%-d}{'' if same else f' {part.first:%b}'} to {part.last:%-d %b}"


def count(number: int, url: str = "") -> Value:
    """Return a count, which links to its rows unless it is zero."""
    return Value(number, f"{number:,}", url if number else "")


def time(seconds: float | None, url: str = "") -> Value:
    """Return a duration as a value."""
    return Value(seconds, say_time(seconds), url if seconds is not None else "")


def say_time(seconds: float | None) -> str:
    """Return seconds as text: `420 ms`, `1.4 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit, most in ((1, "s", 100), (60, "min", 100), (3600, "h", 48)):
        if seconds < size * most:
            number = seconds / size
            return f"{number:.1f}".removesuffix(".0") + f" {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{seconds / 86400:.1f} d".replace(".0 ", " ")
