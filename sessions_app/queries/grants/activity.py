"""How much access was granted, used, refused and reviewed in a period, and how fast its end was confirmed.

Every function is one statement, whose result has a row for each day or week, or for each cluster.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import (
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    Value,
)

from accounts.models import Identity
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, RunState, Session
from sessions_app.queries.status.end_latency import PROMISE_S
from sessions_app.queries.status.periods import Earliest, Latest, Percentile, Period, seconds


class Granted(NamedTuple):
    """The grants of one part of a period on one cluster, by id. ``overdue`` reviews are among ``waiting``.

    ``ended`` started and ended; ``unused`` of these had no session.
    """

    day: dt.date
    cluster: int
    total: int
    break_glass: int
    reviewed: int
    waiting: int
    overdue: int
    ended: int
    unused: int


class Refused(NamedTuple):
    """The refused commands of one part of a period on one cluster, by id."""

    day: dt.date
    cluster: int
    commands: int


class Confirmed(NamedTuple):
    """How long ends took to be confirmed. Times in seconds; None without ends.

    ``day`` is None if it covers the whole period.
    """

    day: dt.date | None
    ends: int
    late: int
    p50: float | None
    p99: float | None


# Grants that started, and are over.
_OVER = Q(state=GrantState.ENDED, activated_at__isnull=False)


def created_in(period: Period) -> Q:
    """Match what was created in the period."""
    return Q(created_at__gte=period.since, created_at__lt=period.until)


def took() -> Latest:
    """Return the time from when a grant's end was due to its confirmation, as `seconds_to_prove` computes
    it.
    """
    due = Earliest("expires_at", "revoking_at", output_field=DateTimeField())
    finished = Latest(due, "finish_until", output_field=DateTimeField())
    late = ExpressionWrapper(F("ended_at") - finished, output_field=DurationField())
    return Latest(late, Value(dt.timedelta()), output_field=DurationField())


def ended_in(since: dt.datetime, until: dt.datetime) -> Q:
    """Match the ends that were confirmed in [since, until)."""
    return Q(state=GrantState.ENDED, revoking_at__isnull=False, ended_at__gte=since, ended_at__lt=until)


def unused() -> Q:
    """Match grants that started and ended without a session."""
    return _OVER & ~Q(Exists(Session.objects.filter(grant=OuterRef("pk"))))


def granted(reader: Identity, period: Period, now: dt.datetime) -> list[Granted]:
    """Return the grants of the period that the reader may see, by part and cluster."""
    due = Q(review_due_at__isnull=False)
    waiting = due & Q(reviewed_at__isnull=True)
    rows = (
        Grant.objects.visible_to(reader)
        .filter(created_in(period))
        .annotate(part=period.part_of("created_at"))
        .values_list("part", "cluster")
        .annotate(
            total=Count("pk"),
            glass=Count("pk", filter=Q(break_glass=True)),
            reviewed=Count("pk", filter=due & Q(reviewed_at__isnull=False)),
            waiting=Count("pk", filter=waiting),
            overdue=Count("pk", filter=waiting & Q(review_due_at__lt=now)),
            ended=Count("pk", filter=_OVER),
            unused=Count("pk", filter=unused()),
        )
        .order_by("part")
    )
    return [Granted(*row) for row in rows]


def refused(reader: Identity, period: Period) -> list[Refused]:
    """Return the refused commands of the period under grants that the reader may see, by part and cluster."""
    found = CommandRun.objects.filter(
        state=RunState.REFUSED, tried_at__gte=period.since, tried_at__lt=period.until
    )
    if not reader.is_superuser:
        # No command is tried after its grant's end, so older grants need not be read.
        recent = Q(state=GrantState.ENDED, ended_at__gte=period.since) | ~Q(state=GrantState.ENDED)
        found = found.filter(grant__in=Grant.objects.visible_to(reader).filter(recent).values("pk"))
    rows = (
        found.annotate(part=period.part_of("tried_at"))
        .values_list("part", "target__cluster")
        .annotate(commands=Count("pk"))
        .order_by("part")
    )
    return [Refused(*row) for row in rows]


def confirmed(reader: Identity, period: Period, *, whole: bool) -> list[Confirmed]:
    """Return how long revocations took to be confirmed, by part, or for the whole period.

    Ends at the deadline aren't revocations.
    """
    found = (
        Grant.objects.visible_to(reader)
        .filter(ended_in(period.since, period.until))
        .exclude(end_reason=EndReason.EXPIRED)
        .annotate(took=took())
    )
    figures = {
        "ends": Count("pk"),
        "late": Count("pk", filter=Q(took__gt=dt.timedelta(seconds=PROMISE_S))),
        "p50": Percentile("took", 0.5),
        "p99": Percentile("took", 0.99),
    }
    if whole:
        rows = [(None, *found.aggregate(**figures).values())]
    else:
        by_part = found.annotate(part=period.part_of("ended_at")).values_list("part")
        rows = list(by_part.annotate(**figures).order_by("part"))
    return [Confirmed(day, ends, late, seconds(p50), seconds(p99)) for day, ends, late, p50, p99 in rows]
