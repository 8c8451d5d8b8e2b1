"""The insight page: how access was used, decided and ended in a period, limited to what the reader
may see.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Identity
from broker.audit.events import Event
from sessions_app.models import Cluster, Observed, Risk
from sessions_app.queries.grants.activity import (
    Confirmed,
    Granted,
    Refused,
    Reviews,
    confirmed,
    granted,
    refused,
    to_review,
)
from sessions_app.queries.requests.decision_times import Asked, Decided, asked, decided
from sessions_app.queries.status.end_latency import PROMISE_S
from sessions_app.queries.status.periods import Period
from sessions_app.queries.status.settled import known_of
from sessions_app.web.display.states import Tile, plural
from sessions_app.web.record.insight_figures import Figure, Links, Row, Value, count, label_of, say_time, time

PERIODS = (7, 30, 90)
DEFAULT = 30
# The maximum number of clusters with a series of their own. The others form one combined series.
MOST_CLUSTERS = 4
MOST_RANKS = 10
# Colors for low, medium and high risk.
RISK_TONES = ("ok", "warn", "bad")
REFUSED = Event.COMMAND_REFUSED.value


@dataclass(frozen=True, slots=True)
class Insight:
    """The content of the page."""

    period: Period
    tiles: Sequence[Tile]
    figures: Sequence[Figure]

    def figure(self, key: str) -> Figure | None:
        """Return the figure with that key."""
        return next((one for one in self.figures if one.key == key), None)


@dataclass(frozen=True, slots=True)
class _Read:
    """The data read for a page, by part. ``decided`` and ``ended`` cover the whole period."""

    links: Links
    clusters: Mapping[int, Cluster]
    grants: Sequence[Granted]
    reviews: Sequence[Reviews]
    commands: Sequence[Refused]
    requests: Sequence[Asked]
    decisions: Sequence[Decided]
    decided: Decided
    ends: Sequence[Confirmed]
    ended: Confirmed

    @property
    def unit(self) -> str:
        """The heading of the first column in figures over time."""
        return "Week" if self.links.period.by_week else "Day"

    def glass(self, name: str) -> int:
        """Return the sum of one of the grant counts."""
        return sum(int(getattr(row, name)) for row in self.grants)

    def reviewing(self, name: str) -> int:
        """Return the sum of one count of the reviews."""
        return sum(int(getattr(row, name)) for row in self.reviews)


def period_of(text: str, now: dt.datetime) -> Period:
    """Return the period of the given number of days, in the reader's time zone."""
    days = int(text) if text.isdecimal() and len(text) < 4 and int(text) in PERIODS else DEFAULT
    return Period(days, timezone.localtime(now).date(), timezone.get_current_timezone())


def insight(reader: Identity, period: Period, now: dt.datetime) -> Insight:
    """Return the figures of a period."""
    known = known_of(reader, period, now)
    grants, commands = granted(known), refused(known)
    *decisions, whole_decided = decided(reader, period, now)
    *ends, whole_ended = confirmed(reader, period, now)
    ids = {row.cluster for row in grants} | {row.cluster for row in commands}
    read = _Read(
        links=Links(period),
        clusters={one.pk: one for one in Cluster.objects.filter(pk__in=ids)},
        grants=grants,
        commands=commands,
        reviews=to_review(reader, period, now),
        requests=asked(known),
        decisions=decisions,
        decided=whole_decided,
        ends=ends,
        ended=whole_ended,
    )
    figures = [make(read) for make in _FIGURES]
    return Insight(period, _tiles(read), figures)


def _tiles(read: _Read) -> list[Tile]:
    """Return the figures at the top."""
    total, glass = read.glass("total"), read.glass("break_glass")
    overdue, waiting = read.reviewing("overdue"), read.reviewing("waiting")
    reviews = (
        f"{plural(overdue, 'review')} overdue"
        if overdue
        else f"{plural(waiting, 'review')} waiting"
        if waiting
        else "all reviewed"
        if glass
        else "none used"
    )
    refusals = sum(row.commands for row in read.commands)
    late = read.ended.p99 is not None and read.ended.p99 > PROMISE_S
    return [
        Tile("info", "Grants", f"{total:,}", f"{plural(sum(row.total for row in read.requests), 'request')}"),
        Tile(
            "info",
            "Time to decision, median",
            say_time(read.decided.p50),
            f"90% within {say_time(read.decided.p90)}",
        ),
        Tile("bad" if overdue else "ok", "Break-glass rate", _share(glass, total), reviews),
        Tile("warn" if refusals else "ok", "Refused commands", f"{refusals:,}", _denied(read.decided)),
        Tile(
            "warn" if late else "ok",
            "Revoke latency, p99",
            say_time(read.ended.p99),
            f"median {say_time(read.ended.p50)}",
        ),
    ]


def _denied(decided: Decided) -> str:
    return f"{plural(decided.denied, 'request')} denied"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _by_risk(read: _Read) -> Figure:
    counts: Counter[tuple[dt.date, str]] = Counter()
    for row in read.grants:
        counts[row.day, read.clusters[row.cluster].risk] += row.total
    rows = [
        Row(
            label_of(part),
            part.first.isoformat(),
            [count(counts[part.first, risk], read.links.grants(part, risk=risk)) for risk in Risk.values],
        )
        for part in read.links.period.parts
    ]
    high = sum(number for (_, risk), number in counts.items() if risk == Risk.HIGH)
    total = read.glass("total")
    return Figure(
        key="risk",
        title="Grants by risk",
        says=f"{plural(total, 'grant')}, {_share(high, total)} of them on clusters with high risk."
        if total
        else "",
        kind="bars",
        first=read.unit,
        columns=[label for _, label in Risk.choices],
        rows=rows,
        drawn=len(Risk),
        url=read.links.grants(),
        link="grants",
        tones=RISK_TONES,
    )


def _by_cluster(read: _Read) -> Figure:
    totals: Counter[int] = Counter()
    counts: Counter[tuple[dt.date, int]] = Counter()
    for row in read.grants:
        totals[row.cluster] += row.total
    top = [pk for pk, _ in totals.most_common(MOST_CLUSTERS)]
    for row in read.grants:
        counts[row.day, row.cluster if row.cluster in top else 0] += row.total
    names = [read.clusters[pk].name for pk in top]
    others = len(totals) > len(top)
    rows = []
    for part in read.links.period.parts:
        values = [
            count(counts[part.first, pk], read.links.grants(part, cluster=name))
            for pk, name in zip(top, names, strict=True)
        ]
        if others:
            values.append(count(counts[part.first, 0]))
        rows.append(Row(label_of(part), part.first.isoformat(), values))
    return Figure(
        key="clusters",
        title="Grants by cluster",
        says=f"Most were on {names[0]}: {_share(totals[top[0]], totals.total())}." if names else "",
        kind="bars",
        first=read.unit,
        columns=[*names, *(["Others"] if others else [])],
        rows=rows,
        drawn=len(names) + others,
        url=read.links.grants(),
        link="grants",
    )


def _decisions(read: _Read) -> Figure:
    found = {row.day: row for row in read.decisions}
    rows = []
    for part in read.links.period.parts:
        one = found.get(part.first, Decided(None, 0, 0, None, None))
        url = read.links.requests(part, decided="1")
        values = [time(one.p50, url), time(one.p90, url), count(one.decided, url)]
        rows.append(Row(label_of(part), part.first.isoformat(), values))
    whole, expired = read.decided, sum(row.expired for row in read.requests)
    says = (
        f"Half of {plural(whole.decided, 'decision')} took up to {say_time(whole.p50)},"
        f" and 90% up to {say_time(whole.p90)}. {plural(expired, 'request')} expired undecided."
    )
    return Figure(
        key="decisions",
        title="Time to decision",
        says=says if whole.decided else "",
        kind="lines",
        first=read.unit,
        columns=["Median", "90%", "Decisions"],
        rows=rows,
        drawn=2,
        url=read.links.requests(decided="1"),
        link="requests",
        note="From the request to the last decision by people. Requests that a policy decides alone don't"
        " count.",
        tones=("info", "warn"),
    )


def _break_glass(read: _Read) -> Figure:
    glass_by, due_by = Counter[dt.date](), Counter[dt.date]()
    for row in read.grants:
        glass_by[row.day] += row.break_glass
        due_by[row.day] += row.to_review
    reviews = {row.day: row for row in read.reviews}
    rows = []
    for part in read.links.period.parts:
        day, links = part.first, read.links
        review = reviews.get(day, Reviews(day, 0, 0))
        values = [
            count(due_by[day] - review.waiting, links.grants(part, review="done")),
            count(review.waiting - review.overdue, links.grants(part, review="waiting")),
            count(review.overdue, links.grants(part, overdue="1")),
            count(glass_by[day], links.grants(part, break_glass="1")),
        ]
        rows.append(Row(label_of(part), day.isoformat(), values))
    glass, total, overdue = read.glass("break_glass"), read.glass("total"), read.reviewing("overdue")
    return Figure(
        key="break-glass",
        title="Break-glass access and reviews",
        says=f"{glass:,} of {plural(total, 'grant')} {'was' if glass == 1 else 'were'} break-glass access."
        f" {plural(overdue, 'review')} {'is' if overdue == 1 else 'are'} overdue."
        if glass
        else "",
        kind="bars",
        first=read.unit,
        columns=["Reviewed", "Review waiting", "Review overdue", "Break-glass access"],
        rows=rows,
        drawn=3,
        url=read.links.grants(break_glass="1"),
        link="grants",
        note="Access for the requester's own incident also needs a review, so there can be more reviews "
        "than break-glass uses.",
        tones=RISK_TONES,
    )


def _unused(read: _Read) -> Figure:
    ended: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    blind = set()
    for row in read.grants:
        cluster = read.clusters[row.cluster]
        if cluster.observed == Observed.NOTHING:
            blind.add(cluster.name)
        else:
            ended[cluster.name] += row.ended
            unused[cluster.name] += row.unused
    rows = []
    for name, number in unused.most_common(MOST_RANKS):
        if number:
            share = Value(number / ended[name], _share(number, ended[name]))
            url = read.links.grants(cluster=name, unused="1")
            rows.append(Row(name, name, [count(number, url), count(ended[name]), share]))
    none, whole = unused.total(), ended.total()
    return Figure(
        key="unused",
        title="Granted but never used",
        says=f"{none:,} of {plural(whole, 'ended grant')} {'was' if none == 1 else 'were'} never used"
        f" ({_share(none, whole)})."
        if whole
        else "",
        kind="ranks",
        first="Cluster",
        columns=["Never used", "Ended", "Share"],
        rows=rows,
        drawn=1,
        url=read.links.grants(unused="1"),
        link="grants",
        note=f"This excludes {', '.join(sorted(blind))}, where Stint doesn't observe use." if blind else "",
    )


def _refusals(read: _Read) -> Figure:
    commands: Counter[dt.date] = Counter()
    for row in read.commands:
        commands[row.day] += row.commands
    denied = {row.day: row.denied for row in read.decisions}
    rows = []
    for part in read.links.period.parts:
        values = [
            count(commands[part.first], read.links.record(REFUSED, part)),
            count(denied.get(part.first, 0), read.links.requests(part, decided="1", outcome="denied")),
        ]
        rows.append(Row(label_of(part), part.first.isoformat(), values))
    return Figure(
        key="refusals",
        title="Refusals",
        says=_refused_most(read),
        kind="bars",
        first=read.unit,
        columns=["Refused commands", "Denied requests"],
        rows=rows,
        drawn=2,
        url=read.links.record(REFUSED),
        link="entries",
        tones=("bad", "mute"),
    )


def _refused_most(read: _Read) -> str:
    by_cluster: Counter[int] = Counter()
    for row in read.commands:
        by_cluster[row.cluster] += row.commands
    text = f"{_denied(read.decided)}." if read.decided.denied else ""
    if by_cluster:
        ((most, number),) = by_cluster.most_common(1)
        total = plural(by_cluster.total(), "command")
        share = _share(number, by_cluster.total())
        text = f"{total} refused, {share} of them on {read.clusters[most].name}. {text}"
    return text


def _revocations(read: _Read) -> Figure:
    found = {row.day: row for row in read.ends}
    rows = []
    for part in read.links.period.parts:
        one = found.get(part.first, Confirmed(None, 0, 0, None, None))
        url = read.links.grants(part, ended="1", revoked="1")
        values = [
            time(one.p50, url),
            time(one.p99, url),
            count(one.ends, url),
            count(one.late, f"{url}&late=1"),
        ]
        rows.append(Row(label_of(part), part.first.isoformat(), values))
    ended = read.ended
    return Figure(
        key="revocations",
        title="Revoke latency",
        says=f"{ended.ends - ended.late:,} of {plural(ended.ends, 'revocation')}"
        f" {'was' if ended.ends == 1 else 'were'} confirmed within {PROMISE_S:g} s; p99 is"
        f" {say_time(ended.p99)}."
        if ended.ends
        else "",
        kind="lines",
        first=read.unit,
        columns=["p50", "p99", "Revocations", "Late"],
        rows=rows,
        drawn=2,
        url=read.links.grants(ended="1", revoked="1"),
        link="grants",
        note="From the revocation until every target confirmed that the access is gone.",
        limit=PROMISE_S,
        tones=("info", "warn"),
    )


_FIGURES = (_by_risk, _by_cluster, _decisions, _revocations, _break_glass, _refusals, _unused)
