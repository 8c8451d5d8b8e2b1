"""The head of a grant's page: the grant's state, the time left, and how it ends."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from sessions_app.models import Grant, GrantState, WorkflowState
from sessions_app.web.display.cards import GrantCard
from sessions_app.web.display.states import UNKNOWN, WORKFLOW, Look
from sessions_app.web.templatetags.times import hour, other_day, since, when, when_both

WAITING = (GrantState.SCHEDULED, GrantState.PROVISIONING)


class Clock(NamedTuple):
    """The large clock: a time to count down to or a past time, with its caption and its screen-reader
    label.
    """

    until: dt.datetime | None
    at: SafeString | str
    below: str
    label: str
    says: bool


@dataclass(frozen=True, slots=True)
class GrantHead:
    """The head of a grant's page. ``own`` means that the grant belongs to the reader or to one of
    the reader's machines.
    """

    card: GrantCard
    own: bool
    yours: bool

    @property
    def grant(self) -> Grant:
        """The grant."""
        return self.card.grant

    @property
    def pills(self) -> list[Look]:
        """Pills for the grant's state and type."""
        grant = self.grant
        found = [self.card.look]
        if grant.break_glass:
            found.append(Look("glass", "flame", "Break-glass access"))
        elif grant.is_own_incident:
            found.append(Look("glass", "flame", "Incident, no approval"))
        if grant.workflow:
            found.append(self._workflow())
        if grant.request.ticket:
            found.append(Look("mute", "ticket", grant.request.ticket))
        if grant.review_due_at and grant.reviewed_at:
            found.append(Look("ok", "check", f"Reviewed by {grant.reviewed_by}"))
        elif grant.review_due_at:
            found.append(Look("warn", "clock", format_html("Review due {}", when(grant.review_due_at))))
        return found

    def _workflow(self) -> Look:
        workflow = self.grant.workflow
        if workflow is None:
            return UNKNOWN
        look = WORKFLOW.get(workflow.kind, UNKNOWN)
        is_open = workflow.state == WorkflowState.OPEN
        parts = [
            f"{look.word} {workflow.ref}",
            workflow.severity,
            f"open {since(workflow.opened_at)}" if is_open else "closed",
        ]
        return Look(look.tone if is_open else "mute", look.icon, ", ".join(part for part in parts if part))

    @property
    def whose(self) -> str:
        """Whose access the grant is, as a heading."""
        return "Your access" if self.yours else f"{self.grant.holder}'s access"

    @property
    def clock(self) -> Clock:
        """The time left, or when the grant ended."""
        grant = self.grant
        if self.card.running:
            return Clock(grant.expires_at, "", "left", "Time left", says=True)
        if grant.state in WAITING:
            return Clock(grant.starts_at, "", "until start", "Time until start", says=False)
        if grant.state == GrantState.ENDED and grant.ended_at:
            return Clock(None, hour(grant.ended_at), f"ended{other_day(grant.ended_at)}", "", says=False)
        return Clock(None, hour(grant.revoking_at or grant.expires_at), "ending", "", says=False)

    @property
    def starts(self) -> SafeString:
        """When the grant starts or started."""
        verb = "Starts" if self.grant.state == GrantState.SCHEDULED else "Started"
        return format_html("{} {}", verb, when_both(self.grant.starts_at))

    @property
    def ends(self) -> SafeString | str:
        """How the grant ends, or why it ended."""
        grant, last = self.grant, when_both(self.grant.expires_at)
        if grant.end_reason:
            return f"{capfirst(grant.why_ended)}{grant.end_note and f': {grant.end_note}'}"
        if grant.workflow:
            return format_html("Ends when {} closes, {} at the latest", grant.workflow.ref, last)
        return format_html("Ends automatically {}, unless ended sooner", last)

    @property
    def held(self) -> bool:
        """Whether the grant is suspended until it is resumed."""
        return self.grant.held_at is not None and self.grant.state == GrantState.ACTIVE

    @property
    def setting_up(self) -> bool:
        """Whether the grant is being provisioned on its targets."""
        return self.grant.state == GrantState.PROVISIONING

    @property
    def unconfirmed(self) -> bool:
        """Whether a target has not confirmed the revocation."""
        return self.grant.state == GrantState.REVOKING and bool(self.grant.last_error)
