"""Who has access when, as positions in per cent for SVG that the server draws."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from sessions_app.models import AccessRequest, Grant, GrantState, RequestState

Place = Callable[[dt.datetime], float]
_INSIDE = 13.0  # a bar narrower than this, in per cent, has its text beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One bar to be: whose, of what, from when to when, and how it looks."""

    identity: Identity
    note: str
    start: dt.datetime
    end: dt.datetime
    tone: str
    style: str
    text: str
    url: str
    emphasis: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the axis."""

    x: str
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the chart. All positions are per cent."""

    span: Span
    x: str
    width: str
    text_x: str
    anchor: str
    title: str
    clashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that the template can draw without arithmetic."""

    ticks: list[Tick]
    bars: list[Bar] = field(default_factory=list)
    now_x: str = ""
    now_label: str = ""


def _per_cent(value: float) -> str:
    return f"{value:.3f}%"


def draw(spans: Iterable[Span], *, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> Chart:
    """Return the chart of the spans that touch [start, end)."""
    length = (end - start).total_seconds()

    def at(moment: dt.datetime) -> float:
        return min(100.0, max(0.0, (moment - start).total_seconds() / length * 100))

    shown = [span for span in spans if span.start < end and span.end > start]
    now_x = (now - start).total_seconds() / length * 100
    inside = 0 <= now_x <= 100
    return Chart(
        ticks=[tick for tick in _ticks(start, end, at) if not inside or abs(float(tick.x[:-1]) - now_x) > 8],
        bars=[_bar(span, shown, at) for span in shown],
        now_x=_per_cent(now_x) if inside else "",
        now_label=f"{timezone.localtime(now):%H:%M}",
    )


def _ticks(start: dt.datetime, end: dt.datetime, at: Place) -> Iterable[Tick]:
    hours = (end - start).total_seconds() / 3600
    step = next((step for step in (1, 2, 4, 6, 12, 24, 48, 168) if hours / step <= 8), 720)
    first = timezone.localtime(start).replace(minute=0, second=0, microsecond=0)
    while first < start or (step < 24 and first.hour % step) or (step >= 24 and first.hour):
        first += dt.timedelta(hours=1)
    while first <= end:
        x = at(first)
        anchor = "start" if x < 2 else "end" if x > 98 else "middle"
        yield Tick(
            _per_cent(x),
            f"{timezone.localtime(first):%H}" if step < 24 else f"{timezone.localtime(first):%d %b}",
            anchor,
        )
        first = timezone.localtime(first + dt.timedelta(hours=step))


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
        if span.emphasis and other is not span and other.start < span.end and other.end > span.start
    )
    return Bar(span, _per_cent(x), _per_cent(width), _per_cent(text_x), anchor, _title(span), clashes)


def _title(span: Span) -> str:
    first, last = timezone.localtime(span.start), timezone.localtime(span.end)
    return f"{span.identity}, {span.note}, {first:%H:%M} to {last:%H:%M %Z}, {span.text}"


def span_of_grant(grant: Grant, *, note: str = "") -> Span:
    """Return a grant's bar: to its deadline, or to its end when that came before."""
    start = grant.starts_at
    end = grant.ended_at or grant.expires_at
    tone, style = "ok", ""
    text = f"to {timezone.localtime(end):%H:%M}"
    if grant.state == GrantState.ENDED:
        tone, style, text = "mute", "gone", f"ended {timezone.localtime(end):%H:%M}"
    elif grant.state == GrantState.SCHEDULED:
        tone, text = "info", f"from {timezone.localtime(start):%H:%M}"
    elif grant.state == GrantState.REVOKING:
        tone, text = "warn", "ending"
    elif grant.break_glass:
        tone = "glass"
    return Span(
        identity=grant.holder, note=note or f"{grant.cluster}, {grant.command_set_version.command_set}", start=start,
        end=max(end, start + dt.timedelta(seconds=1)), tone=tone, style=style, text=text,
        url=reverse("grant", args=[grant.ref]),
    )  # fmt: skip


def span_of_request(
    request: AccessRequest, now: dt.datetime, *, note: str = "", emphasis: bool = False
) -> Span:
    """Return a request's bar: what would be if it were approved now."""
    start = max(request.starts_at or now, now)
    end = start + dt.timedelta(seconds=request.duration)
    text = (
        f"{timezone.localtime(start):%H:%M} to {timezone.localtime(end):%H:%M}, this request"
        if emphasis
        else "asked"
    )
    return Span(
        identity=request.requester, note=note or f"{request.cluster}, {request.command_set_version.command_set}",
        start=start, end=end, tone="warn", style="asked" if request.state == RequestState.PENDING else "gone", text=text,
        url=reverse("request", args=[request.ref]), emphasis=emphasis,
    )  # fmt: skip
