"""How long requests waited for a decision, and how they were decided."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import Count, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessRequest, Approval, RequestState, Settled
from sessions_app.queries.grants.activity import created_in
from sessions_app.queries.status.periods import Percentile, Period, seconds
from sessions_app.queries.status.settled import Known

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
    rows = [Asked(one.day, one.requests, one.expired) for one in known.counts]
    figures = {"total": Count("pk"), "expired": Count("pk", filter=Q(state=RequestState.LAPSED))}
    for found in known.others(
        Settled.REQUESTS,
        AccessRequest.objects.all(),
        lambda: AccessRequest.objects.filter(answered_for_by(known.reader, "requester")),
        "created_at",
    ):
        by_part = found.annotate(part=known.period.part_of("created_at")).values_list("part")
        rows += [Asked(*row) for row in by_part.annotate(**figures).order_by("part")]
    return rows


def decided(reader: Identity, period: Period, *, whole: bool) -> list[Decided]:
    """Return how long the period's requests waited for people's decisions, by part or for the whole
    period.
    """
    wait = ExpressionWrapper(F("decided_at") - F("created_at"), output_field=DurationField())
    found = AccessRequest.objects.visible_to(reader).filter(created_in(period), by_people())
    figures = {
        "decided": Count("pk"),
        "denied": Count("pk", filter=Q(state=RequestState.DENIED)),
        "p50": Percentile("wait", 0.5),
        "p90": Percentile("wait", 0.9),
    }
    found = found.annotate(wait=wait)
    if whole:
        rows = [(None, *found.aggregate(**figures).values())]
    else:
        by_part = found.annotate(part=period.part_of("created_at")).values_list("part")
        rows = list(by_part.annotate(**figures).order_by("part"))
    return [Decided(day, count, denied, seconds(p50), seconds(p90)) for day, count, denied, p50, p90 in rows]
