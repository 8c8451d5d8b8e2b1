"""What a person sees first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Identity, Kind
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Approval,
    Cluster,
    CommandRun,
    Grant,
    GrantState,
    RequestKind,
    RequestState,
    RunState,
    Verdict,
)
from sessions_app.operations.requests.remind_request import PAUSE
from sessions_app.queries.endings import Ending, endings
from sessions_app.queries.named import with_names
from sessions_app.queries.starts import would_run
from sessions_app.queries.troubles import troubles
from sessions_app.web.shell import board as timeline
from sessions_app.web.shell import waiting

LIVE = (GrantState.PROVISIONING, GrantState.ACTIVE, GrantState.REVOKING)
BEHIND, AHEAD = dt.timedelta(hours=3), dt.timedelta(hours=9)
MOST = 12
SOON = dt.timedelta(minutes=15)
# What was refused or made smaller is shown for so long, and so many of them.
LATELY, FEW = dt.timedelta(days=3), 3


class Counts(NamedTuple):
    """What was tried in a grant."""

    runs: int
    refused: int


class Again(NamedTuple):
    """Something asked for before that can be asked for again."""

    ref: str
    cluster: str
    command_set: str
    duration: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The four figures of the home page."""

    people: int
    machines: int
    asked: int
    oldest: dt.datetime | None
    ending: int
    broken: int
    unreviewed: int


@dataclass(frozen=True, slots=True)
class Home:
    """All that the home page shows."""

    holds: Sequence[CommandRun]
    requests: Sequence[AccessRequest]
    reviews: Sequence[Grant]
    releases: Sequence[Grant]
    questions: Sequence[AccessRequest]
    # Break-glass access of others that is live.
    glass: Sequence[Grant]
    mine: Sequence[Grant]
    asked: Sequence[AccessRequest]
    refused: Sequence[AccessRequest]
    # What the reader approved and others made smaller after that.
    reduced: Sequence[AccessRequest]
    others: Sequence[Grant]
    counts: dict[int, Counts]
    endable: set[int]
    endings: dict[int, Ending]
    figures: Figures
    chart: timeline.Chart
    again: Sequence[Again]
    failing: Sequence[Grant]
    # What of Stint itself does not do its work, for administrators.
    troubles: Sequence[str]
    remindable: set[int]

    @property
    def people(self) -> list[Grant]:
        """The grants of other people."""
        return [grant for grant in self.others if grant.holder.is_person]

    @property
    def machines(self) -> list[Grant]:
        """The grants of machines."""
        return [grant for grant in self.others if not grant.holder.is_person]

    @property
    def waiting(self) -> int:
        """How many things wait for the reader."""
        lists = (self.holds, self.requests, self.reviews, self.releases, self.questions)
        return sum(map(len, lists))


def home(identity: Identity, now: dt.datetime) -> Home:
    """Return the home page's content for one reader."""
    live = with_names(Grant.objects.visible_to(identity).filter(state__in=LIVE))
    mine = list(
        with_names(Grant.objects.not_ended().filter(holder=identity), rules=True).order_by("expires_at")[
            :MOST
        ]
    )
    others = list(live.exclude(holder=identity).order_by("expires_at")[:MOST])
    glass = list(waiting.live_glass_for(identity)[:MOST])
    shown = [*mine, *others]
    ids = [grant.pk for grant in (*shown, *glass)]
    asked = list(
        with_names(pending(identity).filter(requester=identity, lapses_at__gt=now), rules=True)
        .prefetch_related("approvals__approver")
        .order_by("-number")[:MOST]
    )
    # Counted in one statement: for most people nothing waits, and three lists need not be asked for.
    counted = waiting.counts_waiting(identity, now)
    requests = list(waiting.requests_for(identity, now)[:MOST]) if counted.requests else []
    return Home(
        holds=list(waiting.holds_for(identity, now)[:MOST]) if counted.holds else [],
        requests=requests,
        reviews=list(waiting.reviews_for(identity)[:MOST]) if counted.reviews else [],
        releases=list(waiting.releases_for(identity, now)[:MOST]) if counted.releases else [],
        questions=list(waiting.questions_for(identity, now)[:MOST]) if counted.questions else [],
        glass=glass,
        mine=mine,
        asked=asked,
        refused=list(refused(identity, now)[:FEW]),
        reduced=list(reduced(identity, now)[:FEW]),
        others=others,
        counts=run_counts(ids),
        endable=set(Grant.objects.endable_by(identity).filter(pk__in=ids).values_list("pk", flat=True)),
        endings=endings(shown, now),
        figures=_figures(identity, now),
        chart=_chart(identity, [*requests, *asked], now),
        again=again(identity),
        failing=list(failing(identity)[:MOST]),
        troubles=troubles(now) if identity.is_superuser else [],
        remindable={one.pk for one in asked if one.reminded_at is None or now - one.reminded_at >= PAUSE},
    )


def failing(identity: Identity) -> QuerySet[Grant]:
    """Return grants whose end a target does not confirm, on clusters or under policies that the identity administers."""
    found = Grant.objects.filter(state=GrantState.REVOKING).exclude(last_error="")
    if not identity.is_superuser:
        found = found.filter(
            Q(cluster__in=Cluster.objects.holding(identity, "administer"))
            | Q(policy__in=AccessPolicy.objects.holding(identity, "administer"))
        )
    return with_names(found).order_by("revoking_at")


def pending(identity: Identity) -> QuerySet[AccessRequest]:
    """Return requests that the identity may see and that wait."""
    return AccessRequest.objects.visible_to(identity).filter(state=RequestState.PENDING)


def refused(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return what the identity asked for and was not given lately, until it asks for the same again; with the verdicts."""
    found = AccessRequest.objects.filter(
        requester=identity, state__in=(RequestState.DENIED, RequestState.LAPSED), decided_at__gt=now - LATELY
    )
    named = with_names(found.not_asked_again()).prefetch_related("approvals__approver")
    return named.order_by("-decided_at")


def reduced(identity: Identity, now: dt.datetime) -> QuerySet[AccessRequest]:
    """Return what the identity approved lately and another approver made smaller after that."""
    given = Approval.objects.filter(
        voided_at__isnull=True, verdict=Verdict.APPROVE, created_at__gt=now - LATELY
    )
    less = given.filter(request=OuterRef("request"), pk__gt=OuterRef("pk")).exclude(narrowing={})
    mine = given.filter(Exists(less), approver=identity).values("request")
    found = AccessRequest.objects.filter(
        pk__in=mine, state__in=(RequestState.PENDING, RequestState.APPROVED)
    ).visible_to(identity)
    return with_names(found).prefetch_related("approvals__approver").order_by("-number")


def run_counts(ids: Sequence[int]) -> dict[int, Counts]:
    """Return how many commands were tried and refused, by grant."""
    rows = (
        CommandRun.objects.filter(grant__in=ids)
        .values_list("grant")
        .annotate(runs=Count("pk"), refused=Count("pk", filter=Q(state=RunState.REFUSED)))
    )
    return {pk: Counts(runs, refused) for pk, runs, refused in rows}


def again(identity: Identity, most: int = 3) -> list[Again]:
    """Return the last different things that the identity asked for, the latest first."""
    rows = (
        AccessRequest.objects.filter(requester=identity)
        .exclude(kind__in=[RequestKind.EXTENSION, RequestKind.BREAK_GLASS, RequestKind.INCIDENT])
        .order_by("-number")
        .values_list("number", "cluster__name", "command_set_version__command_set__name", "duration")[:40]
    )
    latest: dict[tuple[str, str], Again] = {}
    for number, cluster, command_set, duration in rows:
        latest.setdefault((cluster, command_set), Again(f"REQ-{number}", cluster, command_set, duration))
    return list(latest.values())[:most]


def how_many_live(field: str) -> Coalesce:
    """Return how many grants are in use, for a column that names the row by this field of theirs.

    Counted for each row by itself: a join would count all that ever were.
    """
    live = Grant.objects.filter(state__in=LIVE, **{field: OuterRef("pk")}).order_by().values(field)
    return Coalesce(Subquery(live.annotate(count=Count("pk")).values("count")), 0)


def _figures(identity: Identity, now: dt.datetime) -> Figures:
    grants = Grant.objects.visible_to(identity)
    counted = grants.filter(
        Q(state__in=LIVE) | Q(review_due_at__isnull=False, created_at__gt=now - dt.timedelta(days=7))
    ).aggregate(
        people=Count("holder", distinct=True, filter=Q(state__in=LIVE, holder__kind=Kind.PERSON)),
        machines=Count("holder", distinct=True, filter=Q(state__in=LIVE) & ~Q(holder__kind=Kind.PERSON)),
        ending=Count("pk", filter=Q(state=GrantState.ACTIVE, expires_at__lte=now + SOON)),
        broken=Count("pk", filter=Q(review_due_at__isnull=False, created_at__gt=now - dt.timedelta(days=7))),
        unreviewed=Count("pk", filter=Q(review_due_at__isnull=False, reviewed_at__isnull=True)),
    )
    asked = pending(identity).aggregate(asked=Count("pk"), oldest=Min("created_at"))
    return Figures(**counted, **asked)


def _chart(identity: Identity, asked: Sequence[AccessRequest], now: dt.datetime) -> timeline.Chart:
    """``asked`` are the requests that wait for the reader, and the reader's own."""
    start = timezone.localtime(now - BEHIND).replace(minute=0, second=0, microsecond=0)
    end = start + BEHIND + AHEAD
    grants = with_names(
        Grant.objects.visible_to(identity)
        .filter(starts_at__lt=end)
        # Each half by an index of its own; what is not over is little, however long ago its time was up.
        .filter(~Q(state=GrantState.ENDED) | Q(state=GrantState.ENDED, ended_at__gt=start))
    ).order_by("starts_at")[:MOST]
    spans = [timeline.span_of_grant(grant) for grant in grants]
    spans += [
        timeline.span_of_request(request, now)
        for request in sorted(asked, key=lambda request: request.number)
        if would_run(request, now)[0] < end
    ]
    return timeline.draw(spans[:MOST], start=start, end=end, now=now)
