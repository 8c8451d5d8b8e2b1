"""The list of grants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import Grant, GrantState, Observed
from sessions_app.queries.grants.counts import Counts, run_counts
from sessions_app.web.display.cards import GrantCard
from sessions_app.web.display.states import BREAK_GLASS, Look
from sessions_app.web.layout.reader import standing_of


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant in the list, with the number of commands tried under it."""

    card: GrantCard
    counts: Counts | None

    @property
    def unapproved(self) -> Look | None:
        """The look of access that no one approved; None if it was approved."""
        if self.card.grant.break_glass:
            return BREAK_GLASS
        return Look("glass", "flame", "No approval") if self.card.grant.is_own_incident else None

    @property
    def commands(self) -> str:
        """The number of commands tried and refused, as far as Stint observes them."""
        if self.counts:
            return f"{self.counts.runs}{f', {self.counts.refused} refused' if self.counts.refused else ''}"
        observed = self.card.grant.cluster.observed
        if observed == Observed.NOTHING:
            return "not observed"
        yet = "" if self.card.grant.state == GrantState.ENDED else " yet"
        return f"none{' seen' if observed == Observed.SOME else ''}{yet}"

    @property
    def until(self) -> dt.datetime | None:
        """When it ends or ended."""
        grant = self.card.grant
        return grant.ended_at if grant.state == GrantState.ENDED else grant.expires_at


class Empty(NamedTuple):
    """The text of an empty list."""

    glyph: str
    title: str
    text: str
    url: str = ""
    label: str = ""


def grant_rows(grants: Sequence[Grant], now: dt.datetime) -> list[GrantRow]:
    """Return grants as rows of the list."""
    counts = run_counts([grant.pk for grant in grants])
    return [GrantRow(GrantCard(grant, now), counts.get(grant.pk)) for grant in grants]


def no_grants(reader: Identity, show: str, now: dt.datetime, *, older: bool) -> Empty:
    """Return what an empty list shows. ``older``: the reader is past the last page."""
    follows = "An approved request creates a grant, which ends automatically."
    if older:
        return Empty(
            "term", "No older grants", "You've reached the end of the list.", reverse("grants"), "Newest"
        )
    if show not in ("now", "all"):
        return Empty("term", "You have no grants", follows, reverse("request_new"), "Request access")
    if standing_of(reader, now).may_look:
        return Empty("term", "No grants to show", follows)
    text = (
        "Approvers and people who can view a cluster see others' grants. "
        "Ask an administrator to add you to such a group."
    )
    return Empty("lock", "You have no grants", text)
