"""The content of the home page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity
from sessions_app.models import (
    AccessRequest,
    Approval,
    Grant,
    GrantState,
    Observed,
    Verdict,
)
from sessions_app.operations.requests.remind_request import PAUSE
from sessions_app.queries.grants.counts import LIVE, Counts, run_counts
from sessions_app.queries.grants.end_preview import endings
from sessions_app.queries.grants.extensions import Extension, longest_extension
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.requests import waiting
from sessions_app.queries.requests.starts import would_run
from sessions_app.queries.statements.composed import Listed, first_of
from sessions_app.queries.statements.related_names import with_approvals, with_bars, with_names
from sessions_app.queries.status.problems import troubles
from sessions_app.web.display import timeline_chart as timeline
from sessions_app.web.display.cards import GrantCard, RequestCard, request_card, request_cards
from sessions_app.web.display.needs import Needs, needs_of
from sessions_app.web.display.states import plural
from sessions_app.web.display.timeline_spans import span_of_grant, span_of_request
from sessions_app.web.forms.end_form import EndForm
from sessions_app.web.home import overview
from sessions_app.web.home.overview import Figures, own_pending, shown_to
from sessions_app.web.requests.again import Again, again

BEHIND, AHEAD = dt.timedelta(hours=3), dt.timedelta(hours=9)
MOST = 12
# The maximum number of denied requests, and of reduced requests, that are shown.
FEW = 3


@dataclass(frozen=True, slots=True)
class HomeGrant:
    """One live grant: its card, the commands that its end would terminate, and the reader's possible
    actions.
    """

    card: GrantCard
    counts: Counts | None
    ending: EndForm | None
    endable: bool
    extension: Extension | None

    @property
    def grant(self) -> Grant:
        """The grant."""
        return self.card.grant

    @property
    def used(self) -> str:
        """The number of commands run and refused under the grant."""
        observed = observed_under(self.grant)
        if self.counts is None:
            return "commands not observed" if observed == Observed.NOTHING else "no commands yet"
        many, refused = self.counts
        commands = plural(many, "command")
        if refused:
            return f"{commands}, {refused} refused"
        return f"{commands}, {'none refused' if observed == Observed.ALL else 'refusals not observed'}"

    @property
    def scheduled(self) -> bool:
        """Whether the grant has not started yet."""
        return self.grant.state == GrantState.SCHEDULED

    @property
    def stoppable(self) -> bool:
        """Whether the grant's holder can end it."""
        return self.grant.state != GrantState.REVOKING

    @property
    def others_may_end(self) -> bool:
        """Whether the reader can end the grant on behalf of its holder."""
        return self.endable and self.grant.state == GrantState.ACTIVE


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """One of the reader's pending requests, and whether its approvers can be reminded again."""

    card: RequestCard
    remindable: bool


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """One of the reader's requests that was not granted, with the denials."""

    card: RequestCard
    denials: Sequence[Approval]


@dataclass(frozen=True, slots=True)
class Home:
    """The content of the home page."""

    needs: Needs
    # Other people's live access that no one approved.
    glass: Sequence[HomeGrant]
    mine: Sequence[HomeGrant]
    asked: Sequence[OwnRequest]
    refused: Sequence[RefusedRequest]
    # Requests that another approver reduced after the reader's approval.
    reduced: Sequence[RequestCard]
    others: Sequence[HomeGrant]
    figures: Figures
    chart: timeline.Chart
    again: Sequence[Again]
    failing: Sequence[Grant]
    # For administrators: the parts of Stint that are failing.
    troubles: Sequence[str]
    # Whether the reader can be on call for an open incident.
    on_call: bool

    @property
    def people(self) -> list[HomeGrant]:
        """Grants held by other people."""
        return [one for one in self.others if one.grant.holder.is_person]

    @property
    def machines(self) -> list[HomeGrant]:
        """Grants held by machines."""
        return [one for one in self.others if not one.grant.holder.is_person]

    @property
    def waiting(self) -> int:
        """The number of items that wait for the reader."""
        return self.needs.count


def home(identity: Identity, now: dt.datetime, counted: waiting.Waiting) -> Home:
    """Return the content of one reader's home page. ``counted`` has the numbers of items that wait for the
    reader.
    """
    shown = shown_to(identity, now)
    mine, others = _MINE(identity, now), _OTHERS(identity, now)
    glass = _GLASS(identity, now) if shown.glass else []
    grants = _grants(mine, others, glass, now)
    asked = _ASKED(identity, now) if shown.asked else []
    refused = _REFUSED(identity, now) if shown.refused else []
    reduced = _REDUCED(identity, now) if shown.reduced else []
    with_approvals((*asked, *refused, *reduced))
    needs = needs_of(identity, now, **waiting.lists_for(identity, now, counted, most=MOST))
    waits = [card.request for card in needs.requests]
    return Home(
        needs=needs,
        glass=[grants[one.pk] for one in glass],
        mine=[grants[one.pk] for one in mine],
        asked=[OwnRequest(request_card(one, now), _remindable(one, now)) for one in asked],
        refused=[RefusedRequest(request_card(one, now), _denials(one)) for one in refused],
        reduced=request_cards(reduced, now),
        others=[grants[one.pk] for one in others],
        figures=shown.figures,
        chart=_chart(identity, [*waits, *asked], now),
        again=again(identity),
        failing=_FAILING(identity, now) if shown.failing else (),
        on_call=shown.on_call,
        troubles=troubles(now) if identity.is_superuser else [],
    )


def _remindable(asked: AccessRequest, now: dt.datetime) -> bool:
    return asked.reminded_at is None or now - asked.reminded_at >= PAUSE


def _denials(asked: AccessRequest) -> list[Approval]:
    return [one for one in asked.approvals.all() if one.verdict == Verdict.DENY]


def _grants(
    mine: list[Grant], others: list[Grant], glass: list[Grant], now: dt.datetime
) -> dict[int, HomeGrant]:
    """Return the grants by id. Policies are loaded only for the reader's own grants, because the reader can't
    extend others.
    """
    shown = {one.pk: one for one in (*others, *glass, *mine)}
    counts = run_counts(list(shown))
    ends = endings([*mine, *others], now)
    own = {one.pk for one in mine}
    return {
        pk: HomeGrant(
            card=GrantCard(one, now),
            counts=counts.get(pk),
            ending=EndForm(one, ends[pk]) if pk in ends else None,
            endable=pk in own or vars(one)["endable"],
            extension=longest_extension(one, now) if pk in own else None,
        )
        for pk, one in shown.items()
    }


def _chart(identity: Identity, asked: Sequence[AccessRequest], now: dt.datetime) -> timeline.Chart:
    """Return the chart. ``asked`` contains the requests that wait for the reader, and the reader's own
    requests.
    """
    start = timezone.localtime(now - BEHIND).replace(minute=0, second=0, microsecond=0)
    end = start + BEHIND + AHEAD
    grants = _BARS(identity, now, start=start, end=end)
    spans = [span_of_grant(grant) for grant in grants]
    spans += [
        span_of_request(request, now)
        for request in sorted(asked, key=lambda request: request.number)
        if would_run(request, now)[0] < end
    ]
    return timeline.draw(spans[:MOST], start=start, end=end, now=now)


def _with_endable(grants: QuerySet[Grant], reader: Identity) -> QuerySet[Grant]:
    return grants.annotate(endable=Exists(Grant.objects.endable_by(reader).filter(pk=OuterRef("pk"))))


def _bars(reader: Identity, _: dt.datetime, start: dt.datetime, end: dt.datetime) -> QuerySet[Grant]:
    # Each part of the OR uses its own index. Few grants are past their deadline and not ended.
    overlapping = ~Q(state=GrantState.ENDED) | Q(state=GrantState.ENDED, ended_at__gt=start)
    found = Grant.objects.visible_to(reader).filter(overlapping, starts_at__lt=end)
    return with_bars(first_of(found, "starts_at", "pk", most=MOST))


def _others(reader: Identity, _: dt.datetime) -> QuerySet[Grant]:
    found = Grant.objects.visible_to(reader).filter(state__in=LIVE).exclude(holder=reader)
    return _with_endable(with_names(first_of(found, "expires_at", "pk", most=MOST)), reader)


def _glass(reader: Identity, _: dt.datetime) -> QuerySet[Grant]:
    first = first_of(waiting.live_glass_for(reader), "-pk", most=MOST)
    return _with_endable(with_names(first).select_related("request"), reader)


def _mine(reader: Identity, _: dt.datetime) -> QuerySet[Grant]:
    found = Grant.objects.not_ended().filter(holder=reader)
    return with_names(first_of(found, "expires_at", "pk", most=MOST), rules=True)


_MINE, _OTHERS, _GLASS = Listed(_mine), Listed(_others), Listed(_glass)
_ASKED = Listed(
    lambda reader, now: with_names(first_of(own_pending(reader, now), "-number", most=MOST), rules=True)
)
_REFUSED = Listed(
    lambda reader, now: with_names(first_of(overview.refused(reader, now), "-decided_at", "pk", most=FEW))
)
_REDUCED = Listed(
    lambda reader, now: with_names(first_of(overview.reduced(reader, now), "-number", most=FEW))
)
_FAILING = Listed(
    lambda reader, _: with_names(first_of(overview.failing(reader), "revoking_at", "pk", most=MOST))
)
_BARS = Listed(_bars, start=dt.datetime, end=dt.datetime)
