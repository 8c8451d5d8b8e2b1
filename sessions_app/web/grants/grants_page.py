"""The list of grants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import AccessRequest, Cluster, CommandSetVersion, Grant, GrantState, Observed
from sessions_app.policy import references
from sessions_app.queries.grants.counts import Counts, run_counts
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.statements.composed import Listed, first_of
from sessions_app.queries.statements.related_names import with_names
from sessions_app.web.display.cards import GrantCard
from sessions_app.web.display.states import BREAK_GLASS, Look
from sessions_app.web.layout.pagination import LARGEST, SIZE, Page
from sessions_app.web.layout.reader import standing_of

# The maximum number of people, clusters, versions and tickets that a search matches.
MANY = 500


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant in the list, with the number of attempted commands."""

    card: GrantCard
    counts: Counts | None

    @property
    def unapproved(self) -> Look | None:
        """The display style for access without approval; None if someone approved the grant."""
        if self.card.grant.break_glass:
            return BREAK_GLASS
        return Look("glass", "flame", "No approval") if self.card.grant.is_own_incident else None

    @property
    def commands(self) -> str:
        """The number of commands attempted and refused, if Stint observes them."""
        if self.counts:
            return f"{self.counts.runs}{f', {self.counts.refused} refused' if self.counts.refused else ''}"
        observed = observed_under(self.card.grant)
        if observed == Observed.NOTHING:
            return "not observed"
        yet = "" if self.card.grant.state == GrantState.ENDED else " yet"
        return f"none{' seen' if observed == Observed.SOME else ''}{yet}"

    @property
    def starts(self) -> bool:
        """Whether the grant has not started yet."""
        return self.card.grant.state == GrantState.SCHEDULED


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAsked:
    """The query of the list: whose grants to show, the searched text, and where the page begins.

    ``narrowed`` means that the address has additional filters.
    """

    show: str
    text: str = ""
    before: str = ""
    narrowed: bool = False


class Empty(NamedTuple):
    """The text of an empty list."""

    glyph: str
    title: str
    text: str
    url: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class GrantList:
    """One page of the list: grants that have not ended, soonest to end first, and ended ones, newest first.
    ``more`` means that there are more grants that have not ended.
    """

    live: Sequence[GrantRow]
    ended: Sequence[GrantRow]
    more: bool
    page: Page[Grant]
    empty: Empty | None


def grant_list(found: QuerySet[Grant], reader: Identity, asked: ListAsked, now: dt.datetime) -> GrantList:
    """Return a page of the given grants. All grants that have not ended are on the first page."""
    live, page = _read(found, reader, asked, now)
    counts = run_counts([grant.pk for grant in (*live, *page.rows)])
    older = bool(asked.before)
    return GrantList(
        live=[GrantRow(GrantCard(grant, now), counts.get(grant.pk)) for grant in live[:SIZE]],
        ended=[GrantRow(GrantCard(grant, now), counts.get(grant.pk)) for grant in page.rows],
        more=len(live) > SIZE,
        page=page,
        empty=None if live or page.rows else _no_grants(reader, asked, now, older=older),
    )


def _read(
    found: QuerySet[Grant], reader: Identity, asked: ListAsked, now: dt.datetime
) -> tuple[list[Grant], Page[Grant]]:
    """Return the grants that have not ended, soonest to end first, and a page of ended ones."""
    limit = int(asked.before) if asked.before.isdecimal() and len(asked.before) < 19 else None
    plain = not asked.text and not asked.narrowed
    live: list[Grant] = []
    if limit is None:
        live = _LIVE[asked.show](reader, now) if plain else list(_live(found))
    if asked.show == "now":
        return live, Page([], None, limit is not None)
    below = LARGEST if limit is None else limit
    rows = _ENDED[asked.show](reader, now, below=below) if plain else list(_ended(found, below))
    before = rows[SIZE - 1].pk if len(rows) > SIZE else None
    return live, Page(rows[:SIZE], before, limit is not None)


def _live(found: QuerySet[Grant]) -> QuerySet[Grant]:
    live = found.exclude(state=GrantState.ENDED)
    return with_names(first_of(live, "expires_at", "pk", most=SIZE + 1))


def _ended(found: QuerySet[Grant], below: int) -> QuerySet[Grant]:
    ended = found.filter(state=GrantState.ENDED, pk__lt=below)
    return with_names(first_of(ended, "-pk", most=SIZE + 1))


def found_grants(reader: Identity, asked: ListAsked) -> QuerySet[Grant]:
    """Return the visible grants that match the list's query."""
    found = _shown(reader, asked.show)
    return found.filter(_containing(asked.text)) if asked.text else found


def _shown(reader: Identity, show: str) -> QuerySet[Grant]:
    found = Grant.objects.visible_to(reader)
    return found.filter(holder=reader) if show == "mine" else found


# The lists without a text or a filter, by what they show.
_LIVE = {
    show: Listed(lambda reader, _, show=show: _live(_shown(reader, show))) for show in ("mine", "now", "all")
}
_ENDED = {
    show: Listed(lambda reader, _, below, show=show: _ended(_shown(reader, show), below), below=int)
    for show in ("mine", "all")
}


def _containing(text: str) -> Q:
    """Match grants by part of their holder, cluster or command set, or by the beginning of their reference or
    ticket.
    """
    named = Q(name__icontains=text)
    people = Identity.objects.filter(named | Q(username__icontains=text))
    # Read first, so that each part of the OR has its own index.
    fits = Q(holder__in=_ids(people)) | Q(cluster__in=_ids(Cluster.objects.filter(named)))
    versions = CommandSetVersion.objects.filter(command_set__name__icontains=text)
    fits |= Q(command_set_version__in=_ids(versions))
    tickets = AccessRequest.objects.exclude(ticket="").filter(ticket__istartswith=text)
    fits |= Q(request__in=_ids(tickets))
    within = references.grants_beginning(text)
    return fits | Q(ref__range=within) if within else fits


def _ids(found: QuerySet[Any]) -> list[int]:
    return list(found.order_by("-pk").values_list("pk", flat=True)[:MANY])


def _no_grants(reader: Identity, asked: ListAsked, now: dt.datetime, *, older: bool) -> Empty:
    """Return the text of an empty list. ``older`` means that the reader is past the last page."""
    follows = "An approved request creates a grant, which ends automatically."
    if older:
        return Empty("term", "No older grants", "There are no more grants.", reverse("grants"), "Newest")
    if asked.narrowed and not asked.text:
        return Empty("search", "No matching grants", "Remove a filter to see more grants.")
    if asked.text:
        return Empty(
            "search", "No matching grants", "Try a name, a cluster, a command set, GR-… or a ticket."
        )
    if asked.show == "mine":
        return Empty("term", "You have no grants", follows, reverse("request_new"), "Request access")
    if standing_of(reader, now).may_look:
        return Empty("term", "No grants to show", follows)
    text = (
        "Approvers, and people who can view a cluster, see other "
        "people's grants. Ask an administrator to add you to such a group."
    )
    return Empty("lock", "You have no grants", text)
