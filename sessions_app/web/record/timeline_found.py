"""What a timeline shows: the visible grants and requests in its period."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Greatest

from accounts.models import Identity, Kind
from sessions_app.models import BEFORE_END, AccessRequest, Grant, GrantState, RequestKind, RequestState
from sessions_app.queries.statements.composed import tabled
from sessions_app.web.layout.pagination import SIZE
from sessions_app.web.record.timeline_question import By, Question, Show

MOST_COUNTED = 1_000
REFUSED = (RequestState.DENIED, RequestState.LAPSED, RequestState.WITHDRAWN)


def asked_in(question: Question, reader: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return the visible requests whose grant is in the period. For a request without a grant, its requested
    time counts.
    """
    return _asked(_found(question, *question.stretch(), reader, now))


def _asked(found: _Found) -> QuerySet[AccessRequest]:
    requests = found.over.values("pk"), found.waiting.values("pk")
    return AccessRequest.objects.filter(pk__in=found.grants.values("request_id").union(*requests, all=True))


@dataclass(frozen=True, slots=True)
class _Found:
    """The visible grants, requests without a grant, and pending requests in a period."""

    grants: QuerySet[Grant]
    over: QuerySet[AccessRequest]
    waiting: QuerySet[AccessRequest]

    def sorts(self) -> tuple[QuerySet[Any, Any], ...]:
        """Return the start and the request's id of each, those that start first first."""
        return (
            self.grants.order_by("starts_at", "pk").values_list("starts_at", "request_id"),
            self.over.order_by(F("wanted"), "pk").values_list(F("wanted"), "pk"),
            self.waiting.order_by(F("begin"), "pk").values_list(F("begin"), "pk"),
        )


# The question, and its period in the reader's time zone.
Period = tuple[Question, dt.datetime, dt.datetime]
# The places of `_Found.sorts`.
_SORTS = range(3)


def first(asked: Period, reader: Identity, now: dt.datetime, most: int) -> tuple[list[int], int]:
    """Return the ids of the requests that start first, and the total number, counting at most
    ``MOST_COUNTED`` of each kind. Ids are sorted before rows are read in full.
    """
    read = [tabled(_sorted, asked, sort, most)(reader, now) for sort in _SORTS]
    ids = [pk for _, pk in sorted(pair for pairs in read for pair in pairs)[:most]]
    return ids, sum(
        len(pairs) if len(pairs) < most else _count(asked, sort, reader, now)
        for sort, pairs in zip(_SORTS, read, strict=True)
    )


def _sorted(reader: Identity, now: dt.datetime, asked: Period, sort: int, most: int) -> QuerySet[Any, Any]:
    return _found(*asked, reader, now).sorts()[sort][:most]


def _count(asked: Period, sort: int, reader: Identity, now: dt.datetime) -> int:
    ((count,),) = tabled(_any, asked, sort, around="SELECT count(*) FROM ({}) found")(reader, now)
    return int(count)


def _any(reader: Identity, now: dt.datetime, asked: Period, sort: int) -> QuerySet[Any, Any]:
    return _found(*asked, reader, now).sorts()[sort].order_by()[:MOST_COUNTED]


def newest_of(reader: Identity, now: dt.datetime, asked: Period, limit: int) -> QuerySet[Any, Any]:
    """Return the ids of the newest requests with a number below the limit."""
    found = _asked(_found(*asked, reader, now)).filter(number__lt=limit)
    return found.order_by("-number").values_list("pk")[: SIZE + 1]


def _found(
    question: Question, start: dt.datetime, end: dt.datetime, reader: Identity, now: dt.datetime
) -> _Found:
    grants = Grant.objects.visible_to(reader).filter(_whose(question, "holder"))
    requests = AccessRequest.objects.visible_to(reader).filter(_whose(question, "requester"))
    found = _Found(
        _grants(grants, start, end), _over(requests, start, end), _waiting(requests, start, end, now)
    )
    return _narrowed(Show(question.state), found, now) if question.state else found


def _grants(grants: QuerySet[Grant], start: dt.datetime, end: dt.datetime) -> QuerySet[Grant]:
    """Keep the grants that overlap the period. The query has one part per state, each with its own index."""
    return grants.filter(
        Q(state__in=BEFORE_END, expires_at__gt=start)
        | Q(state=GrantState.REVOKING)
        | Q(state=GrantState.ENDED, ended_at__gt=start),
        starts_at__lt=end,
    )


def _over(requests: QuerySet[AccessRequest], start: dt.datetime, end: dt.datetime) -> QuerySet[AccessRequest]:
    """Keep the requests without a grant whose requested time overlaps the period."""
    # Filter by the request's own start, which has an index. Its workflow may start later, but not earlier.
    asked = requests.annotate(asked=Coalesce("starts_at", "created_at")).filter(asked__lt=end)
    wanted = asked.annotate(wanted=Greatest(F("asked"), "workflow__starts_at"))
    past = wanted.filter(state__in=REFUSED, wanted__lt=end).exclude(kind=RequestKind.EXTENSION)
    return past.annotate(till=_till("wanted")).filter(till__gt=start)


def _waiting(
    requests: QuerySet[AccessRequest], start: dt.datetime, end: dt.datetime, now: dt.datetime
) -> QuerySet[AccessRequest]:
    """Keep the pending requests whose time would overlap the period if they were approved now."""
    coming = requests.filter(state=RequestState.PENDING).annotate(
        begin=Greatest(
            Coalesce("extends__expires_at", "starts_at", Value(now)), "workflow__starts_at", Value(now)
        )
    )
    return coming.filter(begin__lt=end).annotate(till=_till("begin")).filter(till__gt=start)


def _till(begin: str) -> ExpressionWrapper[CombinedExpression]:
    length = ExpressionWrapper(F("duration") * Value(dt.timedelta(seconds=1)), output_field=DurationField())
    return ExpressionWrapper(F(begin) + length, output_field=DateTimeField())


def _narrowed(show: Show, found: _Found, now: dt.datetime) -> _Found:
    """Keep only the results for one kind of bar. Requests past their deadline don't count as pending."""
    over, waiting = found.over.none(), found.waiting.none()
    if show == Show.ASKED:
        return _Found(found.grants.none(), over, found.waiting.filter(lapses_at__gt=now))
    if show == Show.REFUSED:
        return _Found(found.grants.none(), found.over, found.waiting.filter(lapses_at__lte=now))
    if show == Show.URGENT:
        urgent = [RequestKind.BREAK_GLASS, RequestKind.INCIDENT]
        return _Found(
            found.grants.filter(Q(break_glass=True) | Q(request__kind__in=urgent)),
            found.over.filter(kind__in=urgent),
            found.waiting.filter(kind__in=urgent),
        )
    states = {
        Show.LATER: [GrantState.SCHEDULED],
        Show.ACTIVE: [GrantState.PROVISIONING, GrantState.ACTIVE, GrantState.REVOKING],
        Show.ENDED: [GrantState.ENDED],
    }
    return _Found(found.grants.filter(state__in=states[show]), over, waiting)


def _whose(question: Question, whose: str) -> Q:
    """Return the query condition for the filters. ``whose`` is the name of the identity field."""
    fits = Q()
    if question.cluster:
        fits &= Q(cluster__name=question.cluster)
    if question.person:
        fits &= Q(**{f"{whose}__username": question.person})
    if question.by == By.PERSON:
        fits &= Q(**{f"{whose}__kind": Kind.PERSON})
    elif question.by == By.MACHINE:
        fits &= ~Q(**{f"{whose}__kind": Kind.PERSON})
    return fits
