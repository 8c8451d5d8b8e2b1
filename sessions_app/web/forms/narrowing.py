"""Filters in the addresses of the grant and request lists. Other pages use them to link to the rows behind a
number.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.dateparse import parse_date

from sessions_app.models import AccessRequest, EndReason, Grant, RequestState, Risk
from sessions_app.queries.grants.activity import ended_in, took, unused
from sessions_app.queries.requests.decision_times import by_people
from sessions_app.queries.status.end_latency import PROMISE_S
from sessions_app.web.forms.times import at_hour
from sessions_app.web.moment import page_now

LONGEST = 63
_DAY = dt.timedelta(days=1)


class Chip(NamedTuple):
    """One active filter, and the query string without it."""

    text: str
    without: str


class Filter(NamedTuple):
    """A filter: the chip's text, which includes the value, and the query condition for a value (None if the
    value is invalid).
    """

    text: str
    condition: Callable[[str], Q | None]


def narrowed_grants(found: QuerySet[Grant], query: QueryDict) -> tuple[QuerySet[Grant], list[Chip]]:
    """Return the grants that match the filters in an address, and the active filters.

    ``since`` and ``until`` are days in the reader's time zone, both inclusive. They filter by creation time
    or, with ``ended=1``, by the time when the end was confirmed.
    """
    if query.get("late"):
        found = found.annotate(took=took())
    return _narrowed(found, query, _GRANTS)


def narrowed_requests(
    found: QuerySet[AccessRequest], query: QueryDict
) -> tuple[QuerySet[AccessRequest], list[Chip]]:
    """Return the requests that match the filters in an address, and the active filters. Days work as for
    grants.
    """
    return _narrowed(found, query, _REQUESTS)


def _narrowed(
    found: QuerySet[Any], query: QueryDict, filters: dict[str, Filter]
) -> tuple[QuerySet[Any], list[Chip]]:
    chips = []
    at = "ended_at" if query.get("ended") and found.model is Grant else "created_at"
    for name, each in (filters | _days(at)).items():
        value = query.get(name, "")[:LONGEST]
        condition = each.condition(value) if value else None
        if condition is not None:
            found = found.filter(condition)
            chips.append(Chip(each.text.format(value), _without(query, name)))
    return found, chips


def _without(query: QueryDict, name: str) -> str:
    rest = query.copy()
    for key in (name, "before"):
        rest.pop(key, None)
    return rest.urlencode()


def _days(at: str) -> dict[str, Filter]:
    word = "ended" if at == "ended_at" else "created"
    return {
        "since": Filter(f"{word} from {{}}", lambda value: _bound(f"{at}__gte", value)),
        "until": Filter(f"{word} until {{}}", lambda value: _bound(f"{at}__lt", value, _DAY)),
    }


def _bound(name: str, text: str, more: dt.timedelta = dt.timedelta()) -> Q | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    if day is None or not dt.date(1970, 1, 3) <= day <= dt.date(9990, 1, 1):
        return None
    return Q(**{name: at_hour(day + more)})


def _flag(condition: Callable[[], Q]) -> Callable[[str], Q | None]:
    return lambda value: condition() if value == "1" else None


_CLUSTER = Filter("on {}", lambda value: Q(cluster__name=value))
_EVER = (dt.datetime(1970, 1, 3, tzinfo=dt.UTC), dt.datetime(9990, 1, 1, tzinfo=dt.UTC))
_REVIEWS = {
    "due": Q(review_due_at__isnull=False),
    "done": Q(reviewed_at__isnull=False),
    "waiting": Q(review_due_at__isnull=False, reviewed_at__isnull=True),
}
_GRANTS: dict[str, Filter] = {
    "cluster": _CLUSTER,
    "risk": Filter("{} risk", lambda value: Q(cluster__risk=value) if value in Risk.values else None),
    "break_glass": Filter("break-glass access", _flag(lambda: Q(break_glass=True))),
    "review": Filter("review {}", _REVIEWS.get),
    "overdue": Filter("review overdue", _flag(lambda: _REVIEWS["waiting"] & Q(review_due_at__lt=page_now()))),
    "unused": Filter("never used", _flag(unused)),
    "ended": Filter("ended", _flag(lambda: ended_in(*_EVER))),
    "revoked": Filter("revoked", _flag(lambda: ~Q(end_reason__in=("", EndReason.EXPIRED)))),
    "late": Filter("confirmed late", _flag(lambda: Q(took__gt=dt.timedelta(seconds=PROMISE_S)))),
}
_REQUESTS: dict[str, Filter] = {
    "cluster": _CLUSTER,
    "decided": Filter("decided by people", _flag(by_people)),
    "outcome": Filter("{}", lambda value: Q(state=value) if value in RequestState.values else None),
}
