"""The content of the home page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
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
from sessions_app.queries.statements.related_names import with_bars, with_names
from sessions_app.queries.status.problems import troubles
from sessions_app.web.display import timeline_chart as timeline
from sessions_app.web.display.cards import GrantCard, RequestCard, request_card, request_cards
from sessions_app.web.display.needs import Needs, needs_of
from sessions_app.web.display.states import plural
from sessions_app.web.display.timeline_spans import span_of_grant, span_of_request
from sessions_app.web.forms.end_form import EndForm
from sessions_app.web.home.overview import (
    Figures,
    failing,
    own_pending,
    reduced,
    refused,
    shown_to,
)
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
    mine, others = _mine(identity), _others(identity)
    shown = shown_to(identity, now)
    glass = list(waiting.live_glass_for(identity)[:MOST]) if shown.glass else []
    grants = _grants(identity, mine, others, glass, now)
    asked = (
        list(
            with_names(own_pending(identity, now), rules=True)
            .prefetch_related("approvals__approver")
            .order_by("-number")[:MOST]
        )
        if shown.asked
        else []
    )
    needs = needs_of(identity, now, **waiting.lists_for(identity, now, counted, most=MOST))
    waits = [card.request for card in needs.requests]
    return Home(
        needs=needs,
        glass=[grants[one.pk] for one in glass],
        mine=[grants[one.pk] for one in mine],
        asked=[OwnRequest(request_card(one, now), _remindable(one, now)) for one in asked],
        refused=[
            RefusedRequest(
                request_card(one, now), [said for said in one.approvals.all() if said.verdict == Verdict.DENY]
            )
            for one in (
                _with_verdicts(refused(identity, now)).order_by("-decided_at")[:FEW] if shown.refused else ()
            )
        ],
        reduced=(
            request_cards(_with_verdicts(reduced(identity, now)).order_by("-number")[:FEW], now)
            if shown.reduced
            else ()
        ),
        others=[grants[one.pk] for one in others],
        figures=shown.figures,
        chart=_chart(identity, [*waits, *asked], now),
        again=again(identity),
        failing=list(with_names(failing(identity)).order_by("revoking_at")[:MOST]) if shown.failing else (),
        on_call=shown.on_call,
        troubles=troubles(now) if identity.is_superuser else [],
    )


def _mine(identity: Identity) -> list[Grant]:
    found = Grant.objects.not_ended().filter(holder=identity)
    return list(with_names(found, rules=True).order_by("expires_at")[:MOST])


def _others(identity: Identity) -> list[Grant]:
    live = with_names(Grant.objects.visible_to(identity).filter(state__in=LIVE))
    return list(live.exclude(holder=identity).order_by("expires_at")[:MOST])


def _remindable(asked: AccessRequest, now: dt.datetime) -> bool:
    return asked.reminded_at is None or now - asked.reminded_at >= PAUSE


def _grants(
    identity: Identity, mine: list[Grant], others: list[Grant], glass: list[Grant], now: dt.datetime
) -> dict[int, HomeGrant]:
    """Return the grants by id. Policies are loaded only for the reader's own grants, because the reader can't
    extend others.
    """
    shown = {one.pk: one for one in (*others, *glass, *mine)}
    counts = run_counts(list(shown))
    endable = set(Grant.objects.endable_by(identity).filter(pk__in=shown).values_list("pk", flat=True))
    ends = endings([*mine, *others], now)
    own = {one.pk for one in mine}
    return {
        pk: HomeGrant(
            card=GrantCard(one, now),
            counts=counts.get(pk),
            ending=EndForm(one, ends[pk]) if pk in ends else None,
            endable=pk in endable,
            extension=longest_extension(one, now) if pk in own else None,
        )
        for pk, one in shown.items()
    }


def _with_verdicts(requests: QuerySet[AccessRequest]) -> QuerySet[AccessRequest]:
    return with_names(requests).prefetch_related("approvals__approver")


def _chart(identity: Identity, asked: Sequence[AccessRequest], now: dt.datetime) -> timeline.Chart:
    """Return the chart. ``asked`` contains the requests that wait for the reader, and the reader's own
    requests.
    """
    start = timezone.localtime(now - BEHIND).replace(minute=0, second=0, microsecond=0)
    end = start + BEHIND + AHEAD
    grants = with_bars(
        Grant.objects.visible_to(identity)
        .filter(starts_at__lt=end)
        # Each part of the OR uses its own index. Few grants are past their deadline and not ended.
        .filter(~Q(state=GrantState.ENDED) | Q(state=GrantState.ENDED, ended_at__gt=start))
    ).order_by("starts_at")[:MOST]
    spans = [span_of_grant(grant) for grant in grants]
    spans += [
        span_of_request(request, now)
        for request in sorted(asked, key=lambda request: request.number)
        if would_run(request, now)[0] < end
    ]
    return timeline.draw(spans[:MOST], start=start, end=end, now=now)
