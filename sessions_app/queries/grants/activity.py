"""How much access was granted, used, refused and reviewed in a period, and how fast its end was confirmed.

The results have one or more rows for each day or week, or for each of its clusters. Several rows can have the
same key.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)

from accounts.models import Identity, answered_for_by
from sessions_app.models import (
    CommandRun,
    EndReason,
    Grant,
    GrantQuerySet,
    GrantState,
    RunState,
    Session,
    Settled,
)
from sessions_app.models.grant import handed_on_by
from sessions_app.models.session import CommandRunQuerySet
from sessions_app.queries.statements.composed import among, tabled
from sessions_app.queries.status.end_latency import PROMISE_S
from sessions_app.queries.status.periods import (
    Earliest,
    Latest,
    Period,
    by_part_and_whole,
    percentile,
    seconds,
)
from sessions_app.queries.status.settled import Known, Others


class Granted(NamedTuple):
    """The grants of one part of a period on one cluster, by id.

    ``to_review`` counts grants that need a review, or had one.

    ``ended`` counts grants that started and ended; ``unused`` counts those of them without a session.
    """

    day: dt.date
    cluster: int
    total: int
    break_glass: int
    to_review: int
    ended: int
    unused: int


class Reviews(NamedTuple):
    """The grants of one part of a period that wait for a review. ``overdue`` counts the late reviews."""

    day: dt.date
    waiting: int
    overdue: int


class Refused(NamedTuple):
    """The refused commands on one cluster in one part of a period, by id."""

    day: dt.date
    cluster: int
    commands: int


class Confirmed(NamedTuple):
    """How long it took to confirm that access ended. Times are in seconds; None if no access ended.

    ``day`` is None if the figures cover the whole period.
    """

    day: dt.date | None
    ends: int
    late: int
    p50: float | None
    p99: float | None


# Grants that started and have ended.
_OVER = Q(state=GrantState.ENDED, activated_at__isnull=False)


def created_in(period: Period) -> Q:
    """Match objects that were created in the period."""
    return Q(created_at__gte=period.since, created_at__lt=period.until)


def took() -> Latest:
    """Return the time between a grant's due end and its confirmation, as `seconds_to_prove` computes it."""
    due = Earliest("expires_at", "revoking_at", output_field=DateTimeField())
    finished = Latest(due, "finish_until", output_field=DateTimeField())
    late = ExpressionWrapper(F("ended_at") - finished, output_field=DurationField())
    return Latest(late, Value(dt.timedelta()), output_field=DurationField())


def ended_in(since: dt.datetime, until: dt.datetime) -> Q:
    """Match grants whose end was confirmed in [since, until)."""
    return Q(state=GrantState.ENDED, revoking_at__isnull=False, ended_at__gte=since, ended_at__lt=until)


def unused() -> Q:
    """Match grants that started and ended without a session."""
    return _OVER & ~Q(Exists(Session.objects.filter(grant=OuterRef("pk"))))


def granted(known: Known) -> list[Granted]:
    """Return the grants of the period that the reader may see, by part and cluster."""
    rows = known.others(Settled.GRANTS, _granted)
    return [*(Granted(*one[:7]) for one in known.counts), *(Granted(*row) for row in rows)]


def _granted(reader: Identity, period: Period, others: Others) -> QuerySet[Any, Any]:
    figures = {
        "total": Count("pk"),
        "glass": Count("pk", filter=Q(break_glass=True)),
        "to_review": Count("review_due_at"),
        "ended": Count("pk", filter=_OVER),
        "unused": Count("pk", filter=_OVER & Q(session__isnull=True)),
    }
    # Not EXISTS, for which PostgreSQL would read all sessions, even for a few grants.
    session = Subquery(Session.objects.filter(grant=OuterRef("pk")).values("grant")[:1])
    found = others.of(Grant.objects.all(), lambda: _own(reader), "created_at")
    placed = found.alias(session=session).annotate(part=period.part_of("created_at"))
    return placed.values_list("part", "cluster").annotate(**figures).order_by("part")


def to_review(reader: Identity, period: Period, now: dt.datetime) -> list[Reviews]:
    """Return, for each part of the period, the grants that still need a review and that the reader may
    see.
    """
    return [Reviews(*row) for row in tabled(_to_review, period)(reader, now)]


def _to_review(reader: Identity, now: dt.datetime, period: Period) -> QuerySet[Any, Any]:
    waiting = Grant.objects.visible_to(reader).filter(
        created_in(period), review_due_at__isnull=False, reviewed_at__isnull=True
    )
    by_part = waiting.annotate(part=period.part_of("created_at")).values_list("part")
    overdue = Count("pk", filter=Q(review_due_at__lt=now))
    return by_part.annotate(waiting=Count("pk"), overdue=overdue).order_by("part")


def refused(known: Known) -> list[Refused]:
    """Return the refused commands of the period under grants that the reader may see, by part and cluster."""
    rows = known.others(Settled.REFUSALS, _refused)
    counted = (Refused(one.day, one.cluster, one.refused) for one in known.counts)
    return [*counted, *(Refused(*row) for row in rows)]


def _refused(reader: Identity, period: Period, others: Others) -> QuerySet[Any, Any]:
    every = CommandRun.objects.filter(state=RunState.REFUSED)
    # No command is attempted after its grant's end, so grants that ended earlier need not be read.
    recent = Q(state=GrantState.ENDED, ended_at__gte=period.since) | ~Q(state=GrantState.ENDED)

    def own() -> CommandRunQuerySet:
        # An array, so that PostgreSQL looks up the few runs of each grant, not the grant of every run.
        return every.filter(among("grant", ArraySubquery(_own(reader).filter(recent).values("pk"))))

    found = others.of(every, own, "tried_at", "grant__").annotate(part=period.part_of("tried_at"))
    by_part = found.values_list("part", "grant__cluster")
    return by_part.annotate(commands=Count("pk")).order_by("part")


def _own(reader: Identity) -> GrantQuerySet:
    """Return the grants that the reader may see without a permission.

    The conditions compare with arrays, so that PostgreSQL finds held grants and delegated grants each by
    their own index. For a list with a holder of many grants, it would read the grants of everyone.
    """
    holders = Identity.objects.filter(answered_for_by(reader)).values("pk")
    handed_on = Grant.objects.filter(pk__in=handed_on_by(reader)).values("pk")
    return Grant.objects.filter(
        Q(among("holder", ArraySubquery(holders))) | Q(among("pk", ArraySubquery(handed_on)))
    )


def confirmed(reader: Identity, period: Period, now: dt.datetime) -> list[Confirmed]:
    """Return how long the confirmation of revocations took, for each part, and then for the whole period.

    Ends at the deadline don't count as revocations.
    """
    late = f"count(*) FILTER (WHERE took > interval '{PROMISE_S} seconds')"
    figures = by_part_and_whole("count(*)", late, percentile(0.5, "took"), percentile(0.99, "took"))
    rows = tabled(_confirmed, period, around=figures)(reader, now)
    return [Confirmed(day, ends, late, seconds(p50), seconds(p99)) for day, ends, late, p50, p99 in rows]


def _confirmed(reader: Identity, _: dt.datetime, period: Period) -> QuerySet[Any, Any]:
    ended = Grant.objects.visible_to(reader).filter(ended_in(period.since, period.until))
    revoked = ended.exclude(end_reason=EndReason.EXPIRED)
    return revoked.values(part=period.part_of("ended_at"), took=took())
