"""Charts of who has access when. Positions are percentages, for SVG rendered on the server."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.models import Identity
from broker.kernel.moments import say_day

Place = Callable[[dt.datetime], float]
_INSIDE = 13.0  # In percent. If a bar is narrower than this, its text is beside it.
_LETTER = 0.85  # In percent: the width of a letter in a chart on a wide screen.
_NARROW = 2.9  # How many times wider a letter is, relative to the chart, on a 320-pixel screen.
# In percent: the minimum distance between the current time and the middle of another label of the axis.
_APART, _APART_NARROW = 8, 19
_GAP = 0.6  # In percent: the gap between two bars in one lane.
# In pixels: the height of a lane, the height of a bar, and the margin above and below all lanes.
_LANE, _BAR, _EDGE = 27, 21, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A bar to draw: its holder, note, times and style."""

    identity: Identity
    note: str
    start: dt.datetime
    end: dt.datetime
    tone: str
    style: str
    text: str
    url: str
    emphasis: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A band to draw behind the bars. ``style`` is `open` (access allowed) or `frozen` (access not
    allowed).
    """

    start: dt.datetime
    end: dt.datetime
    style: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A row to draw: its name, its bars and the bands behind them."""

    key: str
    label: str
    note: str
    url: str
    identity: Identity | None
    spans: Sequence[Span]
    bands: Sequence[Stretch] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick on the time axis. ``desk`` means that the label is shown only on wide screens."""

    x: str
    label: str
    anchor: str
    desk: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the chart. All positions are in percent."""

    span: Span
    x: str
    width: str
    text_x: str
    anchor: str
    title: str
    clashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with all positions computed for the template."""

    ticks: list[Tick]
    bars: list[Bar] = field(default_factory=list)
    now_x: str = ""
    now_label: str = ""


@dataclass(frozen=True, slots=True)
class LaneBar:
    """A bar in a row of stacked bars. Horizontal positions are in percent, vertical ones in pixels.

    ``beside`` means that the text is beside the bar, not inside it. ``desk`` means that the text is shown
    only on wide screens.
    """

    span: Span
    x: str
    width: str
    y: int
    text: str
    text_x: str
    text_y: int
    anchor: str
    beside: bool
    desk: bool
    title: str

    @property
    def svg(self) -> SafeString:
        """The bar with its text and link. A page has hundreds of them, so they are rendered without a
        template.
        """
        span, wide = self.span, ' class="desk"' if self.desk else ""
        return SafeString(
            f'<a href="{html.escape(span.url)}" class="t-{span.tone}">'
            f"<title>{html.escape(self.title)}</title>\n"
            f'<rect class="bar {span.style}" x="{self.x}" width="{self.width}" y="{self.y}" height="{_BAR}"'
            f' rx="4"/>\n<text{wide} x="{self.text_x}" y="{self.text_y}" text-anchor="{self.anchor}">'
            f"{html.escape(self.text)}</text></a>"
        )


class _Placed(NamedTuple):
    """A bar placed in its lane, in percent, with its text and the text's position."""

    span: Span
    x: float
    width: float
    text: str
    text_x: float
    anchor: str
    beside: bool


@dataclass(frozen=True, slots=True)
class Band:
    """A band behind the bars of a row. Positions are in percent."""

    x: str
    width: str
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """A group, with the positions of its bars and bands."""

    group: Group
    height: int
    bands: Sequence[Band]
    bars: Sequence[LaneBar]


@dataclass(frozen=True, slots=True)
class Board:
    """A chart of groups."""

    ticks: Sequence[Tick]
    rows: Sequence[Row]
    now_x: str
    now_label: str


def _per_cent(value: float) -> str:
    return f"{value:.3f}%"


def draw(spans: Iterable[Span], *, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Chart:
    """Return the chart of the spans that overlap [start, end)."""
    # Use UTC, because subtracting datetimes in a local time zone ignores clock changes.
    start, end = start.astimezone(dt.UTC), end.astimezone(dt.UTC)
    at = _place(start, end)
    shown = [span for span in spans if span.start < end and span.end > start]
    ticks, now_x = _axis(start, end, now)
    return Chart(
        ticks=ticks,
        bars=[_bar(span, shown, at) for span in shown],
        now_x=now_x,
        now_label=f"{timezone.localtime(now):%H:%M}",
    )


def draw_board(groups: Iterable[Group], *, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Board:
    """Return the chart of the groups in [start, end). The bars of each group are stacked so that none covers
    another.
    """
    start, end = start.astimezone(dt.UTC), end.astimezone(dt.UTC)
    at = _place(start, end)
    ticks, now_x = _axis(start, end, now)
    rows = [_row(group, at, short=end - start > dt.timedelta(days=2)) for group in groups]
    return Board(ticks, rows, now_x, f"{timezone.localtime(now):%H:%M}")


def _place(start: dt.datetime, end: dt.datetime) -> Place:
    length = (end - start).total_seconds()

    def at(moment: dt.datetime) -> float:
        return min(100.0, max(0.0, (moment - start).total_seconds() / length * 100))

    return at


def _axis(start: dt.datetime, end: dt.datetime, now: dt.datetime) -> tuple[list[Tick], str]:
    """Return the ticks of the axis, except those near the current time, and the position of the current time,
    which is empty if outside the chart.
    """
    now_x = (now - start).total_seconds() / (end - start).total_seconds() * 100
    inside = 0 <= now_x <= 100
    ticks = list(_ticks(start, end, _place(start, end)))
    if inside:
        ticks = [
            replace(tick, desk=tick.desk or abs(_middle(tick, _LETTER * _NARROW) - now_x) < _APART_NARROW)
            for tick in ticks
            if abs(_middle(tick, _LETTER) - now_x) > _APART
        ]
    return ticks, _per_cent(now_x) if inside else ""


def _middle(tick: Tick, letter: float) -> float:
    """Return the position of the middle of a label whose letters have this width."""
    half = len(tick.label) * letter / 2
    return float(tick.x[:-1]) + {"start": half, "end": -half}.get(tick.anchor, 0)


def _row(group: Group, at: Place, *, short: bool) -> Row:
    free: list[float] = []  # In percent: the start of the free space in each lane.
    lanes: list[list[_Placed]] = []
    for span in sorted(group.spans, key=lambda span: (span.start, span.end)):
        x, width = at(span.start), max(at(span.end) - at(span.start), 0.5)
        text = span.label if short else f"{span.label}, {span.text}"
        first, last, text_x, anchor, beside = _beside(x, width, len(text) * _LETTER)
        lane = next((number for number, until in enumerate(free) if until <= first), len(free))
        free[lane:] = [last + _GAP, *free[lane + 1 :]]
        lanes += [[]] if lane == len(lanes) else []
        lanes[lane].append(_Placed(span, x, width, text, text_x, anchor, beside))
    bars = [bar for number, lane in enumerate(lanes) for bar in _lane_bars(number, lane)]
    bars.sort(key=lambda bar: (bar.span.start, bar.span.end))
    bands = [
        Band(
            _per_cent(at(band.start)),
            _per_cent(at(band.end) - at(band.start)),
            band.style,
            f"{band.title}, {_from_to(band.start, band.end)}",
        )
        for band in group.bands
    ]
    return Row(group, 2 * _EDGE + max(1, len(free)) * _LANE - (_LANE - _BAR), bands, bars)


def _beside(x: float, width: float, wide: float) -> tuple[float, float, float, str, bool]:
    """Return the start and end of a bar including its text, the text's position and anchor, and whether the
    text is beside the bar.
    """
    right = x + width
    if width >= wide + 1.5:
        return x, right, x + 0.7, "start", False
    if right + wide + 0.7 <= 100:
        return x, right + 0.7 + wide, right + 0.7, "start", True
    if x - wide - 0.7 >= 0:
        return x - 0.7 - wide, right, x - 0.7, "end", True
    return x, max(right, x + 0.7 + wide), x + 0.7, "start", False


def _lane_bars(number: int, lane: Sequence[_Placed]) -> Iterable[LaneBar]:
    y, taken = _EDGE + number * _LANE, 0.0  # In percent: the end of the last bar or text on a narrow screen.
    for here, one in enumerate(lane):
        fits, taken = _fits(one, taken, until=lane[here + 1].x if here + 1 < len(lane) else 100)
        yield LaneBar(
            one.span,
            _per_cent(one.x),
            _per_cent(one.width),
            y,
            one.text,
            _per_cent(one.text_x),
            y + 15,
            one.anchor,
            one.beside,
            not fits,
            _dated(one.span),
        )


def _fits(one: _Placed, taken: float, *, until: float) -> tuple[bool, float]:
    """Return whether a bar's text fits on a narrow screen between the preceding and the next bar, and where
    the occupied part of the lane then ends.
    """
    wide, right = len(one.text) * _LETTER * _NARROW, one.x + one.width
    if not one.beside:
        return one.width >= wide, right
    if one.anchor == "end":
        return one.text_x - wide >= taken, right
    fits = one.text_x + wide <= until
    return fits, one.text_x + wide if fits else right


def _dated(span: Span) -> str:
    return f"{span.label}, {span.note}, {_from_to(span.start, span.end)}, {span.text}"


def _from_to(start: dt.datetime, end: dt.datetime) -> str:
    first, last = timezone.localtime(start), timezone.localtime(end)
    day = "" if first.date() == last.date() else f"{say_day(last)} "
    return f"{say_day(first)} {first:%H:%M} to {day}{last:%H:%M %Z}"


def _ticks(start: dt.datetime, end: dt.datetime, at: Place) -> Iterable[Tick]:
    hours = (end - start).total_seconds() / 3600
    step = next((step for step in (1, 2, 4, 6, 12, 24, 48, 168) if hours / step <= 8), 720)
    first = timezone.localtime(start).replace(minute=0, second=0, microsecond=0)
    while first < start or (step < 24 and first.hour % step) or (step >= 24 and first.hour):
        first += dt.timedelta(hours=1)
    number = 0
    while first <= end:
        x = at(first)
        anchor = "start" if x < 2 else "end" if x > 98 else "middle"
        yield Tick(
            _per_cent(x),
            f"{timezone.localtime(first):%H}" if step < 24 else f"{timezone.localtime(first):%d %b}",
            anchor,
            desk=step >= 24 and hours / step > 5 and number % 2 == 1,
        )
        first = timezone.localtime(first + dt.timedelta(hours=step))
        number += 1


def _bar(span: Span, shown: list[Span], at: Place) -> Bar:
    x, right = at(span.start), at(span.end)
    width = max(right - x, 0.8)
    if width >= _INSIDE:
        text_x, anchor = x + 0.9, "start"
    elif right < 78:
        text_x, anchor = right + 0.9, "start"
    else:
        text_x, anchor = x - 0.9, "end"
    clashes = tuple(
        (
            _per_cent(at(max(span.start, other.start))),
            _per_cent(at(min(span.end, other.end)) - at(max(span.start, other.start))),
        )
        for other in shown
        if span.emphasis
        and other.identity != span.identity
        and other.start < span.end
        and other.end > span.start
    )
    return Bar(span, _per_cent(x), _per_cent(width), _per_cent(text_x), anchor, _title(span), clashes)


def _title(span: Span) -> str:
    first, last = timezone.localtime(span.start), timezone.localtime(span.end)
    return f"{span.identity}, {span.note}, {first:%H:%M} to {last:%H:%M %Z}, {span.text}"
