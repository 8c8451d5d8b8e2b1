"""Data for the Status page: grant ends compared with the objective, current failures, and gateways."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import Cluster, EndCause, GatewayNode
from sessions_app.queries.grants.current import overdue
from sessions_app.queries.statements.row_counts import counted
from sessions_app.queries.status.end_latency import DAYS, OBJECTIVE, PROMISE_S, Ends, all_ends, ends_by_day
from sessions_app.queries.status.failing import (
    failing_ends,
    failing_sources,
    failing_targets,
    failing_webhooks,
    paused_webhooks,
    unresolved_drift,
)
from sessions_app.queries.status.problems import GATEWAY_GONE, GATEWAY_SILENCE, troubles
from sessions_app.web.display.states import Look, Tile, plural

# The maximum number of targets named. Further targets are counted.
MOST = 10
# An end that became due less than this many seconds ago doesn't count as late yet.
ON_ITS_WAY_S = 5.0
GOAL = f"{OBJECTIVE:.1%}"
RUNNING, STOPPED, SILENT = (
    Look("ok", "check", "Running"),
    Look("mute", "stop", "Stopped"),
    Look("bad", "alert", "Silent"),
)


class Failing(NamedTuple):
    """A current failure: its tone, and its page, if any."""

    tone: str
    text: str
    url: str = ""


class Day(NamedTuple):
    """One day of the window: its date, its revocation counts and its color."""

    date: dt.date
    ends: Ends

    @property
    def tone(self) -> str:
        """Green if the day met the objective, red if it used ten times its share of the error budget,
        otherwise orange.
        """
        if not self.ends.total:
            return "mute"
        return "ok" if self.ends.budget_left >= 0 else "warn" if self.ends.budget_left > -9 else "bad"

    @property
    def says(self) -> str:
        """The day as text: `28 November: 41 ends, 1 late`."""
        if not self.ends.total:
            return f"{self.date:%-d %B}: no ends"
        return f"{self.date:%-d %B}: {plural(self.ends.total, 'end')}, {self.ends.late:,} late"


class Row(NamedTuple):
    """The grant ends in the window that have the same cause."""

    label: str
    ends: Ends

    @property
    def figures(self) -> list[tuple[str, str]]:
        """The figures, each with its heading."""
        share = f"{self.ends.kept:.3%}" if self.ends.total else "–"
        return [
            ("Ends", f"{self.ends.total:,}"),
            ("Median", _seconds(self.ends.within(0.5))),
            ("p99", _seconds(self.ends.within(0.99))),
            ("Longest", _seconds(self.ends.longest if self.ends.total else None)),
            ("Late", f"{self.ends.late:,}"),
            ("On time", share),
        ]


class Gateway(NamedTuple):
    """A gateway that was active within the last day."""

    node: GatewayNode
    serves: str
    look: Look


@dataclass(frozen=True, slots=True)
class Status:
    """The content of the page. ``failing`` lists the current failures, worst first; ``ends`` summarizes all
    ends in the window.
    """

    failing: Sequence[Failing]
    ends: Ends
    rows: Sequence[Row]
    days: Sequence[Day]
    gateways: Sequence[Gateway]

    goal, window, promise = GOAL, DAYS, f"{PROMISE_S:g}"

    @property
    def tone(self) -> str:
        """The tone of the heading."""
        return self.failing[0].tone if self.failing else "ok"

    @property
    def heading(self) -> str:
        """The overall state as a heading."""
        if not self.failing:
            return "All systems operational"
        return (
            "Access may not end on time"
            if self.tone == "bad"
            else "Access ends on time, but something else is failing"
        )

    @property
    def tiles(self) -> list[Tile]:
        """The figures at the top: medians, p99s, the objective, and its error budget."""
        ends = self.ends
        tone = "ok" if ends.budget_left > 0.25 else "warn" if ends.budget_left > 0 else "bad"
        return [
            *(_speed(row) for row in self.rows),
            Tile(
                tone,
                "Ends on time",
                f"{ends.kept:.3%}" if ends.total else "No ends yet",
                f"objective {GOAL} within {PROMISE_S:g} s",
            ),
            Tile(
                tone,
                "Error budget left",
                f"{ends.budget_left:.0%}",
                f"{ends.late:,} of {ends.allowed:,.1f} late ends used",
            ),
        ]


def status(reader: Identity, now: dt.datetime) -> Status:
    """Return the current status, limited to what the reader may see."""
    counts = ends_by_day(now)
    today = now.astimezone(dt.UTC).date()
    days = [today - dt.timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    gateways = [_gateway(node, now) for node in _nodes(now)]
    silent = [
        Failing(
            "warn",
            f"gateway {one.node.name} has not been seen since"
            f" {one.node.seen_at.astimezone(dt.UTC):%H:%M} UTC",
        )
        for one in gateways
        if one.look == SILENT
    ]
    return Status(
        failing=sorted([*_failing(reader, now), *silent], key=lambda one: one.tone != "bad"),
        ends=all_ends(counts),
        rows=[Row(cause.label, all_ends(day for day in counts if day.cause == cause)) for cause in EndCause],
        days=[Day(date, all_ends(day for day in counts if day.day == date)) for date in days],
        gateways=gateways,
    )


def _speed(row: Row) -> Tile:
    p50, p99 = row.ends.within(0.5), row.ends.within(0.99)
    late = p99 is not None and p99 > PROMISE_S
    return Tile("warn" if late else "ok", f"{row.label}, p99", _seconds(p99), f"median {_seconds(p50)}")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return (
        f"{seconds * 1000:.0f} ms"
        if seconds < 1
        else f"{seconds:,.1f} s"
        if seconds < 100
        else f"{seconds:,.0f} s"
    )


def _failing(reader: Identity, now: dt.datetime) -> Iterator[Failing]:
    ends, targets, drift, sources, paused, webhooks = counted(
        (
            failing_ends(),
            failing_targets(),
            unresolved_drift(),
            failing_sources(),
            paused_webhooks(),
            failing_webhooks(),
        )
    )
    count, oldest = overdue(now)
    if count and oldest > ON_ITS_WAY_S:
        late = (
            f"{plural(count, 'grant')} had to end up to {oldest:,.0f} s ago, but the end is not confirmed yet"
        )
        yield Failing("bad", late, reverse("grants"))
    if ends:
        yield Failing(
            "bad",
            f"the targets of {plural(ends, 'ending grant')} have not confirmed the revocation",
            reverse("grants"),
        )
    for text in troubles(now):
        critical = text.startswith(("no process that ends", "the record contradicts"))
        yield Failing("bad" if critical else "warn", text)
    yield from _targets(reader, targets)
    if drift:
        yield Failing("warn", f"{plural(drift, 'unresolved difference')} on targets", reverse("clusters"))
    if sources:
        yield Failing("warn", f"{plural(sources, 'workflow source')} not responding")
    if paused:
        yield Failing("warn", f"{plural(paused, 'webhook')} paused")
    if webhooks:
        yield Failing("warn", f"{plural(webhooks, 'failing webhook')}")


def _targets(reader: Identity, count: int) -> Iterator[Failing]:
    """Yield the targets that can't be read: the names on clusters that the reader can see, and the number of
    other targets.
    """
    if not count:
        return
    seen = failing_targets().filter(target__cluster__in=Cluster.objects.visible_to(reader))
    named = list(
        seen.order_by("target__cluster__name", "target__name").values_list(
            "target__name", "target__cluster__name"
        )[:MOST]
    )
    for target, cluster in named:
        yield Failing(
            "warn", f"target {target} of {cluster} can't be read", reverse("cluster", args=[cluster])
        )
    if others := count - len(named):
        yield Failing("warn", f"{plural(others, 'other target' if named else 'target')} can't be read")


def _nodes(now: dt.datetime) -> Sequence[GatewayNode]:
    return list(GatewayNode.objects.filter(seen_at__gt=now - GATEWAY_GONE).order_by("stopped_at", "name"))


def _gateway(node: GatewayNode, now: dt.datetime) -> Gateway:
    serves = [name for name, known in (("SSH", node.host_key), ("HTTPS", node.tls_fingerprint)) if known] or [
        "MCP"
    ]
    if node.stopped_at is not None:
        look = STOPPED
    elif now - node.seen_at > GATEWAY_SILENCE:
        look = SILENT
    else:
        look = RUNNING
    return Gateway(node, ", ".join(serves), look)
