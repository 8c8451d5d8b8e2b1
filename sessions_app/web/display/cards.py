"""Requests and grants as rows and cards: their state, tone, text and numbers at one point in time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sessions_app.models import AccessRequest, Approval, Grant, GrantState, Verdict
from sessions_app.queries.requests.extents import left_duration
from sessions_app.queries.requests.facts import clauses_of, readable_document
from sessions_app.queries.requests.starts import later_start
from sessions_app.web.display import states as words
from sessions_app.web.display.states import Look


@dataclass(frozen=True, slots=True)
class RequestCard:
    """A request as a card. Requires the policy, and the approvals with their approvers, to be prefetched.

    ``left`` is the duration in seconds after any reductions by approvers.
    """

    request: AccessRequest
    now: dt.datetime
    left: int

    @property
    def whole(self) -> int:
        """The requested duration in seconds if approvers reduced the duration; otherwise 0."""
        return self.request.duration if self.left != self.request.duration else 0

    @property
    def given(self) -> str:
        """The number of approvals given and needed: `1 of 2 approvals given`."""
        document = readable_document(self.request.policy)
        needed = sum(clause.count for clause in clauses_of(self.request, document)) if document else "?"
        given = [one for one in self._counted if one.verdict == Verdict.APPROVE]
        return f"{len(given)} of {needed} approval{'' if needed == 1 else 's'} given"

    @property
    def narrowed_by(self) -> str:
        """The approvers who reduced the scope."""
        return " and ".join(str(one.approver) for one in self._counted if one.narrowing)

    @property
    def progress(self) -> str:
        """The approvals given and needed, and who reduced the scope, as a sentence."""
        reduced = f", {self.narrowed_by} reduced the scope" if self.narrowed_by else ""
        return f"{self.given}{reduced}."

    @property
    def awaited(self) -> str:
        """The groups whose approval is still needed: `approvers or owners, and security`."""
        document = readable_document(self.request.policy)
        clauses = clauses_of(self.request, document) if document else ()
        return ", and ".join(dict.fromkeys(" or ".join(clause.groups) for clause in clauses))

    @property
    def start(self) -> dt.datetime | None:
        """The start time of the request or of its workflow; None if access starts on approval."""
        return self.request.starts_at or later_start(self.request, self.now)

    @property
    def look(self) -> Look:
        """The display style of the request's state."""
        return words.request_look(self.request, self.now)

    @property
    def _counted(self) -> list[Approval]:
        return [one for one in self.request.approvals.all() if one.voided_at is None]


@dataclass(frozen=True, slots=True)
class GrantCard:
    """A grant as a card."""

    grant: Grant
    now: dt.datetime

    @property
    def look(self) -> Look:
        """The display style of the grant's state."""
        return words.grant_look(self.grant, self.now)

    @property
    def tone(self) -> str:
        """The tone of the card."""
        if self.grant.state == GrantState.ACTIVE and self.grant.break_glass:
            return "glass"
        return self.look.tone

    @property
    def running(self) -> bool:
        """Whether the grant is in use and has not expired."""
        return self.grant.state == GrantState.ACTIVE and self.grant.expires_at > self.now

    @property
    def used(self) -> str:
        """The share of the grant's time that has passed, as a CSS width: `29.4%`."""
        whole = (self.grant.expires_at - self.grant.starts_at).total_seconds()
        over = ((self.grant.ended_at or self.now) - self.grant.starts_at).total_seconds()
        return f"{min(100.0, max(0.0, over / whole * 100)):.1f}%"

    @property
    def unapproved(self) -> str:
        """The kind of access if no one approved the grant, such as `break-glass access`; empty if someone
        did.
        """
        if self.grant.break_glass:
            return "break-glass access"
        return "incident access without approval" if self.grant.is_own_incident else ""


def request_card(request: AccessRequest, now: dt.datetime) -> RequestCard:
    """Return a request as a card."""
    return RequestCard(request, now, left_duration(request))


def request_cards(requests: Iterable[AccessRequest], now: dt.datetime) -> list[RequestCard]:
    """Return requests as cards."""
    return [request_card(request, now) for request in requests]


def grant_cards(grants: Iterable[Grant], now: dt.datetime) -> list[GrantCard]:
    """Return grants as cards."""
    return [GrantCard(grant, now) for grant in grants]
