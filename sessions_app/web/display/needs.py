"""The items that need a person's attention, as listed on the home page and the approvals page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sessions_app.models import AccessRequest, CommandRun, Comment, Grant
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.queries.grants.held_commits import HeldStatement, statements_of
from sessions_app.queries.grants.held_files import HeldUpload, uploads_of
from sessions_app.web.display.cards import GrantCard, RequestCard, grant_cards, request_cards
from sessions_app.web.display.states import EFFECT, UNKNOWN, Look


def exact_line(run: CommandRun) -> str:
    """Return a command's arguments exactly as they would run, or the line as typed if there are no
    arguments.
    """
    return readable(run.argv) if run.argv and run.grant.cluster.kind == "ssh" else run.line


class Hold(NamedTuple):
    """A held command with its exact arguments and the display style of its effect.

    ``statements`` are those of a transaction that is held at its COMMIT. ``file`` is what an upload contains.
    """

    run: CommandRun
    line: str
    look: Look
    statements: Sequence[HeldStatement] = ()
    file: HeldUpload | None = None


class Question(NamedTuple):
    """One of the reader's own requests, with the latest comment by another person."""

    asked: AccessRequest
    last: Comment


@dataclass(frozen=True, slots=True)
class Needs:
    """The items that need one person's attention."""

    holds: Sequence[Hold] = ()
    requests: Sequence[RequestCard] = ()
    reviews: Sequence[GrantCard] = ()
    releases: Sequence[Grant] = ()
    questions: Sequence[Question] = ()

    @property
    def count(self) -> int:
        """The number of items."""
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
    """Return the items that need a person's attention. Each of ``questions`` must have its comments in
    ``said``.
    """
    files = uploads_of([run for run in holds if run.grant.cluster.kind == "ssh"])
    return Needs(
        holds=[_hold(run, files.get(run.pk)) for run in holds],
        requests=request_cards(requests, now),
        reviews=grant_cards(reviews, now),
        releases=releases,
        questions=[Question(asked, asked.said[-1]) for asked in questions],  # type: ignore[attr-defined]  # prefetched by `questions_for`
    )


def _hold(run: CommandRun, file: HeldUpload | None) -> Hold:
    statements = statements_of(run.held_commit) if hasattr(run, "held_commit") else ()
    return Hold(run, exact_line(run), EFFECT.get(run.effect, UNKNOWN), statements, file)
