"""A reader's figures for a period, from the counts of settled days and the rows of all other days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, NamedTuple, TypeVar

from django.db.models import Model, Q, QuerySet, Sum

from accounts.models import Identity
from broker.kernel.postgresql.rows import ask
from sessions_app.models import AccessPolicy, Cluster, Settled, SettledCount
from sessions_app.queries.statements.composed import tabled
from sessions_app.queries.status.periods import Period

_SEEING = ("view", "approve", "administer")
_DAY = dt.timedelta(days=1)

Rows = TypeVar("Rows", bound=Model)
Span = tuple[dt.datetime, dt.datetime]


class Counts(NamedTuple):
    """The counts of one part of a period on one cluster, by id."""

    day: dt.date
    cluster: int
    grants: int
    break_glass: int
    to_review: int
    ended: int
    unused: int
    requests: int
    expired: int
    refused: int


@dataclass(frozen=True, slots=True)
class Known:
    """The counts of a period's settled days, and the spans whose rows are not counted.

    ``counts`` cover the rows that permissions let the reader see: all rows for administrators. ``unsettled``
    are the other spans of the period by kind, each without its end.
    """

    reader: Identity
    period: Period
    now: dt.datetime
    counts: Sequence[Counts]
    unsettled: Mapping[str, Sequence[Span]]

    def others(
        self, kind: Settled, compose: Callable[[Identity, Period, Others], QuerySet[Any, Any]]
    ) -> list[tuple[Any, ...]]:
        """Return the figures of the rows that are not in the counts, each row once. ``compose`` returns the
        figures of some of these rows.
        """
        spans = tuple(self.unsettled[kind])
        seen_and_own = (True,) if self.reader.is_superuser else (True, False)
        return [
            row
            for seen in seen_and_own
            for row in tabled(_figures, compose, self.period, spans, seen)(self.reader, self.now)
        ]


@dataclass(frozen=True, slots=True)
class Others:
    """Some rows of a period: those outside of settled days (``spans``) that permissions let the reader see
    or, if not ``seen``, all those that the reader sees only otherwise.
    """

    reader: Identity
    period: Period
    spans: Sequence[Span]
    seen: bool

    def of(
        self, every: QuerySet[Rows], own: Callable[[], QuerySet[Rows]], at: str, path: str = ""
    ) -> QuerySet[Rows]:
        """Return the rows.

        ``own`` returns the rows that the reader sees without a permission. ``at`` is the column with the
        time. ``path`` leads to the row with the policy and the cluster, such as `grant__`.
        """
        if not self.seen:
            within = _within(at, self.period.since, self.period.until)
            return own().filter(within, ~_seen(self.reader, path))
        rest = every.filter(reduce(or_, (_within(at, *span) for span in self.spans), Q(pk__in=())))
        return rest if self.reader.is_superuser else rest.filter(_seen(self.reader, path))


def _figures(
    reader: Identity,
    _: dt.datetime,
    compose: Callable[[Identity, Period, Others], QuerySet[Any, Any]],
    period: Period,
    spans: Sequence[Span],
    seen: bool,  # a part of the statement's key
) -> QuerySet[Any, Any]:
    return compose(reader, period, Others(reader, period, spans, seen))


def known_of(reader: Identity, period: Period, now: dt.datetime) -> Known:
    """Return the counts of a period for a reader, and the spans that are not counted."""
    counts = [Counts(*row) for row in tabled(_counts, period)(reader, now)]
    return Known(reader, period, now, counts, _unsettled(period))


def _counts(reader: Identity, _: dt.datetime, period: Period) -> QuerySet[Any, Any]:
    found = SettledCount.objects.filter(slot__gte=period.since, slot__lt=period.until)
    if not reader.is_superuser:
        found = found.filter(_seen(reader))
    sums = {name: Sum(name) for name in Counts._fields[2:]}
    rows = found.annotate(part=period.part_of("slot")).values_list("part", "cluster").annotate(**sums)
    return rows.order_by("part")


def _seen(reader: Identity, path: str = "") -> Q:
    """Return the condition that a permission on a row's policy or cluster lets the reader see the row."""
    policies, clusters = (of.objects.holding(reader, *_SEEING) for of in (AccessPolicy, Cluster))
    return Q((f"{path}policy__in", policies)) | Q((f"{path}cluster__in", clusters))


def _within(at: str, since: dt.datetime, until: dt.datetime) -> Q:
    return Q((f"{at}__gte", since), (f"{at}__lt", until))


def _unsettled(period: Period) -> dict[str, list[Span]]:
    """Return the spans of a period that are not in settled days, by kind."""
    days: dict[str, list[dt.date]] = {kind: [] for kind in Settled.values}
    for day, kind in ask(_SETTLED, period.since.date(), period.until.date()):
        days[kind].append(day)
    return {kind: list(_between(settled, period)) for kind, settled in days.items()}


_SETTLED = "SELECT day, kind FROM sessions_app_settledday WHERE day >= %s AND day <= %s ORDER BY day"


def _between(days: Iterable[dt.date], period: Period) -> Iterator[Span]:
    at = period.since
    for day in days:
        start = dt.datetime.combine(day, dt.time.min, dt.UTC)
        if at < start:
            yield at, start
        at = start + _DAY
    if at < period.until:
        yield at, period.until
