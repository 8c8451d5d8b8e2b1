"""What needs somebody, as home and the page of approvals list it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sessions_app.models import AccessRequest, CommandRun, Comment, Grant
from sessions_app.policy.commands.ssh.quoting import readable
from sessions_app.web.shell.cards import GrantCard, RequestCard, grant_cards, request_cards
from sessions_app.web.shell.words import EFFECT, UNKNOWN, Look


def exact_line(run: CommandRun) -> str:
    """Return the words of a command exactly as they would run; what could not be read as words, as it was typed."""
    return readable(run.argv) if run.argv and run.grant.cluster.kind == "ssh" else run.line


class Hold(NamedTuple):
    """A held command, with its exact words and how its effect looks."""

    run: CommandRun
    line: str
    look: Look


class Question(NamedTuple):
    """An own request, with what somebody else said last about it."""

    asked: AccessRequest
    last: Comment


@dataclass(frozen=True, slots=True)
class Needs:
    """What needs one person."""

    holds: Sequence[Hold] = ()
    requests: Sequence[RequestCard] = ()
    reviews: Sequence[GrantCard] = ()
    releases: Sequence[Grant] = ()
    questions: Sequence[Question] = ()

    @property
    def count(self) -> int:
        """How many things that are."""
        return sum(map(len, (self.holds, self.requests, self.reviews, self.releases, self.questions)))


def needs_of(
    now: dt.datetime,
    *,
    holds: Sequence[CommandRun],
    requests: Sequence[AccessRequest],
    reviews: Sequence[Grant],
    releases: Sequence[Grant],
    questions: Sequence[AccessRequest],
) -> Needs:
    """Return what needs somebody, as lists show it. Questions have their comments as ``said``."""
    return Needs(
        holds=[Hold(run, exact_line(run), EFFECT.get(run.effect, UNKNOWN)) for run in holds],
        requests=request_cards(requests, now),
        reviews=grant_cards(reviews, now),
        releases=releases,
        questions=[Question(asked, asked.said[-1]) for asked in questions],  # type: ignore[attr-defined]  # prefetched by `questions_for`
    )
