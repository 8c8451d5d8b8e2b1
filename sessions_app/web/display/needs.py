"""The items that need a person's attention, as listed on the home page and the approvals page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from accounts.models import Identity
from sessions_app.models import AccessRequest, CommandRun, Comment, Grant
from sessions_app.web.display.cards import GrantCard, RequestCard, grant_cards, request_cards
from sessions_app.web.display.held import Hold, HoldGroup, shown_holds


class Question(NamedTuple):
    """One of the reader's own requests, with the latest comment by another person."""

    asked: AccessRequest
    last: Comment


@dataclass(frozen=True, slots=True)
class Needs:
    """The items that need one person's attention. Held commands are in ``groups`` if several wait alike."""

    groups: Sequence[HoldGroup] = ()
    holds: Sequence[Hold] = ()
    requests: Sequence[RequestCard] = ()
    reviews: Sequence[GrantCard] = ()
    releases: Sequence[Grant] = ()
    questions: Sequence[Question] = ()

    @property
    def count(self) -> int:
        """The number of items."""
        grouped = [group.rows for group in self.groups]
        return sum(
            map(len, (*grouped, self.holds, self.requests, self.reviews, self.releases, self.questions))
        )


def needs_of(
    reader: Identity,
    now: dt.datetime,
    *,
    holds: Sequence[CommandRun],
    requests: Sequence[AccessRequest],
    reviews: Sequence[Grant],
    releases: Sequence[Grant],
    questions: Sequence[AccessRequest],
) -> Needs:
    """Return the items that need a person's attention. Each of ``questions`` must have its comments in
    ``said``.
    """
    groups, alone = shown_holds(holds, reader, now)
    return Needs(
        groups=groups,
        holds=alone,
        requests=request_cards(requests, now),
        reviews=grant_cards(reviews, now),
        releases=releases,
        questions=[Question(asked, asked.said[-1]) for asked in questions],  # type: ignore[attr-defined]  # prefetched by `questions_for`
    )
