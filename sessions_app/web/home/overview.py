"""The figures of the home page, and which lists on the page have rows, read with one SQL statement."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, DateTimeField, Exists, Func, JSONField, Min, OuterRef, Q, QuerySet, Value

from accounts.models import Identity, Kind
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Approval,
    Cluster,
    Grant,
    GrantState,
    RequestState,
    Verdict,
    Workflow,
    WorkflowKind,
    requestable,
)
from sessions_app.queries.grants.counts import LIVE
from sessions_app.queries.requests import waiting
from sessions_app.queries.requests.waiting import pending
from sessions_app.queries.statements.composed import Composed, Part, any_of, value_of
from sessions_app.web.display.states import Tile, plural
from sessions_app.web.templatetags.times import since

SOON = dt.timedelta(minutes=15)
# How long denied and reduced requests are shown, and the period for counting break-glass uses.
LATELY, WEEK = dt.timedelta(days=3), dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Figures:
    """The four figures of the home page."""

    people: int
    machines: int
    ending: int
    broken: int
    unreviewed: int
    asked: int
    oldest: dt.datetime | None

    @property
    def tiles(self) -> list[Tile]:
        """The figures for display."""
        oldest = f"Oldest {since(self.oldest)}" if self.oldest else "None waiting"
        reviews = (
            f"{self.unreviewed} not reviewed yet"
            if self.unreviewed
            else "All reviewed"
            if self.broken
            else "None to review"
        )
        people = f"{plural(self.people, 'person,people')}, {plural(self.machines, 'machine')}"
        return [
            Tile("ok", "With access now", people, "No standing access"),
            Tile("warn", "Waiting for a decision", plural(self.asked, "request"), oldest),
            Tile(
                "info",
                "Ending within 15 min",
                plural(self.ending, "grant"),
                "Each ends automatically" if self.ending else "None soon",
            ),
            Tile("glass", "Break-glass uses, 7 days", plural(self.broken, "use"), reviews),
        ]


class Shown(NamedTuple):
    """Which lists of the home page have rows, whether the reader can be on call for an open incident, and the
    figures.
    """

    glass: bool
    asked: bool
    refused: bool
    reduced: bool
    failing: bool
    on_call: bool
    figures: Figures


def shown_to(reader: Identity, now: dt.datetime) -> Shown:
    """Return which parts of a reader's home page have content, and its figures."""
    *lists, grants, (asked, oldest) = _SHOWN(reader, now)
    first = dt.datetime.fromisoformat(oldest) if oldest else None
    people, machines, ending, broken, unreviewed = grants
    figures = Figures(people, machines, ending, broken, unreviewed, asked=asked, oldest=first)
    return Shown._make((*lists, figures))


def _parts(reader: Identity, now: dt.datetime) -> list[Part]:
    on_call = AccessPolicy.objects.exclude(document__incident=None)
    clusters = requestable(reader).filter(accesspolicy__in=on_call).values("cluster")
    incidents = Workflow.objects.open().filter(kind=WorkflowKind.INCIDENT, clusters__in=clusters)
    return [
        any_of(waiting.live_glass_for(reader)),
        any_of(own_pending(reader, now)),
        any_of(refused(reader, now)),
        any_of(reduced(reader, now)),
        any_of(failing(reader)),
        any_of(incidents),
        _grants(Grant.objects.visible_to(reader), now),
        _together(pending(reader), Count("pk"), Min("created_at")),
    ]


def _grants(visible: QuerySet[Grant], now: dt.datetime) -> Part:
    live, soon = Q(state__in=LIVE), Value(now, DateTimeField()) + SOON
    unapproved = Q(review_due_at__isnull=False)
    lately = unapproved & Q(created_at__gt=Value(now, DateTimeField()) - WEEK)
    return _together(
        visible.filter(live | lately),
        Count("holder", distinct=True, filter=live & Q(holder__kind=Kind.PERSON)),
        Count("holder", distinct=True, filter=live & ~Q(holder__kind=Kind.PERSON)),
        Count("pk", filter=Q(state=GrantState.ACTIVE, expires_at__lte=soon)),
        Count("pk", filter=lately),
        Count("pk", filter=unapproved & Q(reviewed_at__isnull=True)),
    )


def _together(rows: QuerySet[Any], *counts: Count | Min) -> Part:
    """Return the part of the SQL statement that aggregates the rows into a list of counts."""
    counted = Func(*counts, function="json_build_array", output_field=JSONField())
    return value_of(rows.order_by().annotate(all=Value(1)).values("all").annotate(it=counted).values("it"))


def own_pending(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return the identity's requests that wait for other people."""
    return pending(identity).filter(requester=identity, lapses_at__gt=now)


def failing(identity: Identity) -> QuerySet[Grant]:
    """Return the grants with unconfirmed revocations, on clusters or under policies that the identity
    administers.
    """
    found = Grant.objects.filter(state=GrantState.REVOKING).exclude(last_error="")
    if not identity.is_superuser:
        found = found.filter(
            Q(cluster__in=Cluster.objects.holding(identity, "administer"))
            | Q(policy__in=AccessPolicy.objects.holding(identity, "administer"))
        )
    return found


def refused(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return the identity's recent requests that were denied or expired, and were not submitted again."""
    return AccessRequest.objects.filter(
        requester=identity,
        state__in=(RequestState.DENIED, RequestState.LAPSED),
        decided_at__gt=Value(now, DateTimeField()) - LATELY,
    ).not_asked_again()


def reduced(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return requests that another approver reduced after this identity recently approved them."""
    given = Approval.objects.filter(
        voided_at__isnull=True,
        verdict=Verdict.APPROVE,
        created_at__gt=Value(now, DateTimeField()) - LATELY,
    )
    less = given.filter(request=OuterRef("request"), pk__gt=OuterRef("pk")).exclude(narrowing={})
    mine = given.filter(Exists(less), approver=identity).values("request")
    return AccessRequest.objects.filter(
        pk__in=mine, state__in=(RequestState.PENDING, RequestState.APPROVED)
    ).visible_to(identity)


_SHOWN = Composed("stint_home", _parts)
