"""How long requests waited for a decision, and how they were decided."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import BooleanField, Count, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q

from accounts.models import Identity
from sessions_app.models import AccessRequest, Approval, RequestState
from sessions_app.queries.grants.activity import created_in
from sessions_app.queries.status.periods import Percentile, Period, seconds

DECIDED = (RequestState.APPROVED, RequestState.DENIED)


class Decided(NamedTuple):
    """The requests of one part of a period, or of all of it (None). Times in seconds; None without any.

    ``decided`` counts those that people approved or denied; ``denied`` are among them.
    """

    day: dt.date | None
    total: int
    decided: int
    denied: int
    expired: int
    p50: float | None
    p90: float | None


def by_people() -> Q:
    """Match requests that people decided, not the policy alone."""
    verdicts = Exists(Approval.objects.filter(request=OuterRef("pk")))
    return Q(verdicts, state__in=DECIDED, decided_at__isnull=False)


def decided(reader: Identity, period: Period, *, whole: bool) -> list[Decided]:
    """Return the requests of the period that the reader may see, by part, or for the whole period."""
    wait = ExpressionWrapper(F("decided_at") - F("created_at"), output_field=DurationField())
    found = AccessRequest.objects.visible_to(reader).filter(created_in(period))
    found = found.annotate(wait=wait, by_people=ExpressionWrapper(by_people(), output_field=BooleanField()))
    people = Q(by_people=True)
    figures = {
        "total": Count("pk"),
        "decided": Count("pk", filter=people),
        "denied": Count("pk", filter=people & Q(state=RequestState.DENIED)),
        "expired": Count("pk", filter=Q(state=RequestState.LAPSED)),
        "p50": Percentile("wait", 0.5, filter=people),
        "p90": Percentile("wait", 0.9, filter=people),
    }
    if whole:
        rows = [(None, *found.aggregate(**figures).values())]
    else:
        by_part = found.annotate(part=period.part_of("created_at")).values_list("part")
        rows = list(by_part.annotate(**figures).order_by("part"))
    return [Decided(*row[:5], *map(seconds, row[5:])) for row in rows]
