"""How long requests waited for a decision, and how they were decided."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.db.models import Count, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessRequest, Approval, RequestState, Settled
from sessions_app.queries.grants.activity import created_in
from sessions_app.queries.statements.composed import tabled
from sessions_app.queries.status.periods import Period, by_part_and_whole, percentile, seconds
from sessions_app.queries.status.settled import Known, Others

DECIDED = (RequestState.APPROVED, RequestState.DENIED)


class Asked(NamedTuple):
    """The requests in one part of a period, and how many of them expired."""

    day: dt.date
    total: int
    expired: int


class Decided(NamedTuple):
    """The requests in one part of a period, or in all of it (None), that people decided, including the
    ``denied`` ones. Times are in seconds; None if there are no requests.
    """

    day: dt.date | None
    decided: int
    denied: int
    p50: float | None
    p90: float | None


def by_people() -> Q:
    """Match requests that people decided, not the policy alone."""
    verdicts = Exists(Approval.objects.filter(request=OuterRef("pk")))
    return Q(verdicts, state__in=DECIDED, decided_at__isnull=False)


def asked(known: Known) -> list[Asked]:
    """Return the requests of the period that the reader may see, by part."""
    rows = known.others(Settled.REQUESTS, _asked)
    counted = (Asked(one.day, one.requests, one.expired) for one in known.counts)
    return [*counted, *(Asked(*row) for row in rows)]


def _asked(reader: Identity, period: Period, others: Others) -> QuerySet[Any, Any]:
    every = AccessRequest.objects.all()
    found = others.of(every, lambda: every.filter(answered_for_by(reader, "requester")), "created_at")
    figures = {"total": Count("pk"), "expired": Count("pk", filter=Q(state=RequestState.LAPSED))}
    by_part = found.annotate(part=period.part_of("created_at")).values_list("part")
    return by_part.annotate(**figures).order_by("part")


def decided(reader: Identity, period: Period, now: dt.datetime) -> list[Decided]:
    """Return how long the period's requests waited for people's decisions, for each part, and then for the
    whole period.
    """
    denied = f"count(*) FILTER (WHERE state = '{RequestState.DENIED.value}')"
    figures = by_part_and_whole("count(*)", denied, percentile(0.5, "wait"), percentile(0.9, "wait"))
    rows = tabled(_waits, period, around=figures)(reader, now)
    return [Decided(day, count, denied, seconds(p50), seconds(p90)) for day, count, denied, p50, p90 in rows]


def _waits(reader: Identity, _: dt.datetime, period: Period) -> QuerySet[Any, Any]:
    wait = ExpressionWrapper(F("decided_at") - F("created_at"), output_field=DurationField())
    found = AccessRequest.objects.visible_to(reader).filter(created_in(period), by_people())
    return found.values("state", part=period.part_of("created_at"), wait=wait)
