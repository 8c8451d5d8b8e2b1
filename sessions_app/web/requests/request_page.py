"""The page of one request, for any reader who can see the request: its state, the possible actions and its
scope.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.utils import timezone

from accounts.models import Identity, answers_for
from sessions_app.models import AccessRequest, Approval, Comment, Grant, GrantState, RequestState, Target
from sessions_app.models.grant_state import BEFORE_END
from sessions_app.operations.requests.remind_request import PAUSE
from sessions_app.policy.durations import say_duration
from sessions_app.queries.requests.confirmation import must_confirm
from sessions_app.queries.requests.deciders import may_not_decide
from sessions_app.queries.requests.undo import WITHIN, why_final
from sessions_app.queries.workflows.workflows import why_over
from sessions_app.web.display.cards import RequestCard
from sessions_app.web.display.states import REQUEST, Look, plural, request_look
from sessions_app.web.requests.brief import ROOT, Brief
from sessions_app.web.requests.gains import Gains, gains_of
from sessions_app.web.requests.request_facts import CommandLine, RequestFacts, request_facts
from sessions_app.web.requests.steps import Step, steps_of


@dataclass(frozen=True, slots=True)
class RequestPage:
    """One request as one reader sees it. ``mine`` is the reader's own verdict. ``may_not`` is the reason why
    the reader can't decide, ``over`` the reason for the workflow's end. ``must_confirm`` means that the
    reader must first confirm their identity.
    """

    asked: AccessRequest
    facts: RequestFacts
    own: bool
    may_not: str
    mine: Approval | None
    grant: Grant | None
    over: str
    must_confirm: bool
    now: dt.datetime

    @property
    def pending(self) -> bool:
        """Whether the request is undecided, even if expired."""
        return self.asked.state == RequestState.PENDING

    @property
    def lapsed(self) -> bool:
        """Whether the request has expired or its workflow has ended, even if no worker has closed the request
        yet.
        """
        return self.pending and (self.asked.lapses_at <= self.now or bool(self.over))

    @property
    def open(self) -> bool:
        """Whether the request waits for a decision."""
        return self.pending and not self.lapsed

    @property
    def decidable(self) -> bool:
        """Whether the reader can decide the request now."""
        return self.open and not self.may_not and not self.facts.changed

    @property
    def remindable(self) -> bool:
        """Whether the approvers can be reminded again."""
        at = self.asked.reminded_at
        return at is None or self.now - at >= PAUSE

    @property
    def card(self) -> RequestCard:
        """The request's card, as lists show it."""
        return RequestCard(self.asked, self.now, self.facts.left.duration)

    @property
    def look(self) -> Look:
        """The display style of the request's state."""
        return REQUEST[RequestState.LAPSED] if self.lapsed else request_look(self.asked, self.now)

    @property
    def waiting_look(self) -> Look:
        """The display style of the request's state for approvers, with the number of missing approvals."""
        if not self.open:
            return self.look
        missing = self.facts.missing
        return Look("warn", "clock", f"Waiting for {missing:,} more approval{'' if missing == 1 else 's'}")

    @property
    def asks(self) -> str:
        """The verb of the heading."""
        return "requests" if self.pending else "requested"

    @property
    def asker(self) -> str:
        """How the heading names the requester: `You` or a name."""
        return "You" if self.own else str(self.asked.requester)

    @property
    def reduced(self) -> bool:
        """Whether approvers reduced the duration."""
        return self.facts.left.duration != self.asked.duration

    @property
    def repeatable(self) -> bool:
        """Whether the reader can submit the same request again."""
        return self.own and not self.asked.extends

    @property
    def usable(self) -> bool:
        """Whether the reader has the access, or will have it."""
        return self.own and self.grant is not None and self.grant.state in BEFORE_END

    @property
    def steps(self) -> list[Step]:
        """The steps that led to the current state."""
        return steps_of(self.asked, self.facts, self.grant, over=self.over, lapsed=self.lapsed, now=self.now)

    @property
    def gains(self) -> list[Gains]:
        """The requested commands, grouped under headings."""
        return gains_of(self.facts)

    @property
    def outcome(self) -> Look:
        """The display style of the result, or of the reason why the reader can't decide."""
        if not self.open:
            return self.look
        return (
            Look("info", "eye", "You can't decide this request.")
            if self.may_not
            else Look("warn", "alert", "It can no longer be approved.")
        )

    @property
    def still_missing(self) -> str:
        """How many approvals are still needed after the reader's."""
        return f"{plural(self.facts.missing, 'more approval')} needed." if self.facts.missing else ""

    @property
    def starts_later(self) -> bool:
        """Whether the grant waits for a later start."""
        grant = self.grant
        return grant is not None and grant.state == GrantState.SCHEDULED and grant.starts_at > self.now

    @property
    def endable(self) -> bool:
        """Whether the reader approved the request, can no longer withdraw the approval, and can end the
        grant.
        """
        live = self.grant is not None and self.grant.state in BEFORE_END
        return live and self.mine is not None and self.undo_until is None

    @property
    def undo_until(self) -> dt.datetime | None:
        """Until when the reader can withdraw their approval; None if they can't."""
        if self.mine is None or why_final(self.asked, self.mine, self.grant, self.now):
            return None
        return self.mine.created_at + WITHIN

    @property
    def incidents_title(self) -> str:
        """The heading above the open incidents, next to the request's workflow."""
        return "Other incidents" if self.facts.behind else "Incident"

    @property
    def incidents_says(self) -> str:
        """The text before or instead of the cluster's open incidents; empty if there is no text."""
        if self.facts.incidents:
            return f"{'' if self.facts.behind else 'None linked. '}Open incidents on {self.asked.cluster}:"
        if self.facts.behind:
            return ""
        return f"No incidents are open on {self.asked.cluster}" if self.pending else "None"

    @property
    def comments(self) -> list[tuple[Comment, bool]]:
        """The comments, each with whether the requester wrote it."""
        return [(one, one.author_id == self.asked.requester_id) for one in self.facts.comments]

    @property
    def comment_label(self) -> str:
        """The label of the comment field."""
        if not self.own:
            return f"Ask {self.asked.requester}"
        return "Answer" if self.facts.comments else "Add a comment"

    @property
    def comment_button(self) -> str:
        """The label of the button that sends a comment."""
        return ("Send answer" if self.facts.comments else "Send") if self.own else "Send question"

    @property
    def from_when(self) -> str:
        """The part of the heading that precedes the start time."""
        workflow = f" for {self.asked.workflow.ref}" if self.asked.workflow else ""
        if self.facts.has_start:
            return f"{workflow},"
        return workflow + (", starting on approval" if self.pending else "")

    @property
    def for_time(self) -> bool:
        """Whether the heading gives the duration before the start time."""
        return not self.facts.has_start and not self.asked.extends

    @property
    def then_for(self) -> str:
        """The part of the heading between the start time and the duration."""
        return ", for" if self.reduced else ""

    @property
    def limits(self) -> str:
        """A note on what the request doesn't allow, and how long a command may run past the end."""
        ssh = self.asked.cluster.kind == "ssh"
        refused = "Anything not listed is refused"
        said = (
            f"No shell, no file copy, no forwarding. {refused} before it reaches a target."
            if ssh
            else f"{refused}."
        )
        longest = self.facts.finish_seconds
        if not longest:
            return said
        return f"{said} A running command may finish, up to {say_duration(longest)} after the end."

    @property
    def timeline_query(self) -> str:
        """The query that opens the timeline for the request's cluster and day."""
        start = self.card.start
        day = {"day": f"{timezone.localtime(start):%Y-%m-%d}"} if start else {}
        return f"?{urlencode({'cluster': self.asked.cluster.name, **day})}"

    @property
    def commands_to_exclude(self) -> Sequence[CommandLine]:
        """The commands that an approver can exclude. At least one command must remain."""
        kept = self.facts.kept
        return kept if len(kept) > 1 and not self.asked.extends else []

    @property
    def targets_to_exclude(self) -> Sequence[Target]:
        """The targets that an approver can exclude. At least one target must remain."""
        kept = self.facts.kept_targets
        return kept if len(kept) > 1 and not self.asked.extends else []

    @property
    def left_text(self) -> str:
        """The scope that earlier approvers have left: `1 h, 3 of 5 commands, and web-1`."""
        facts = self.facts
        many = len(facts.lines)
        names = ", ".join(target.name for target in facts.kept_targets)
        commands = f"{len(facts.kept)} of {many:,} command{'' if many == 1 else 's'}"
        return f"{say_duration(facts.left.duration)}, {commands}, and {names}"

    @property
    def durations(self) -> list[tuple[int, str]]:
        """The durations to choose from, as seconds and text. The last one is the full remaining time."""
        *shorter, whole = self.facts.durations
        last = "remaining" if self.reduced else "requested"
        said = [(seconds, say_duration(seconds)) for seconds in shorter]
        return [*said, (whole, f"{say_duration(whole)}, {last}")]

    @property
    def targets(self) -> Sequence[tuple[Target, bool, bool]]:
        """The targets, each with whether it is still in the scope, and whether commands run as root on it."""
        kept = {target.pk for target in self.facts.kept_targets}
        return [(target, target.pk in kept, target.account == ROOT) for target in self.facts.targets]


class Changed(NamedTuple):
    """A note that a request differs from what its reader saw, or from what was requested."""

    title: str
    says: str
    changes: Sequence[str]
    then: str


def changed_note(
    shown: RequestPage, changes: Sequence[str], *, refused: bool, failed: bool
) -> Changed | None:
    """Return the note at the top of the page, if there is one.

    ``changes`` contains the changes since the page was read. ``refused`` means that a verdict was rejected
    because the scope had changed. ``failed`` means that a verdict was not recorded.
    """
    facts, asker = shown.facts, shown.asked.requester
    if not (changes or facts.changed or refused):
        return None
    title = f"This changed while {'you were reading it' if changes else 'it was waiting'}."
    says = ["Your decision was not recorded."] if failed else []
    many = facts.gone_targets
    if not changes and many:
        says.append(
            f"{many:,} requested target{'' if many == 1 else 's'} no longer exist{'s' if many == 1 else ''}."
        )
    elif not changes and facts.changed:
        says.append(
            "The address, account, host key or host authority of a target has changed since the request."
        )
    then = ""
    if facts.changed:
        then = (
            f"It can no longer be approved. {asker} has to request it again. This page shows the current"
            " state."
        )
    elif shown.pending:
        again = "" if shown.mine or shown.may_not else "; decide again"
        then = f"This page shows the current state{again}."
    return Changed(title, " ".join(says), changes, then)


def request_page(
    request: AccessRequest, reader: Identity, now: dt.datetime, *, deciding: bool, past: bool
) -> dict[str, Any]:
    """Return the template context for a request's page: the approvers' page if ``deciding``, otherwise the
    requester's.

    ``past`` adds the requester's last grant on the cluster.
    """
    facts = request_facts(request, reader, now, others=deciding, past=past)
    shown = RequestPage(
        asked=request,
        facts=facts,
        own=answers_for(reader, request.requester),
        may_not=may_not_decide(request, reader),
        mine=next((one for one in facts.approvals if one.approver_id == reader.pk), None),
        grant=getattr(request, "grant", None),
        over=why_over(request.workflow, request.decided_at or now) if request.workflow else "",
        must_confirm=deciding and must_confirm(request.policy, reader, now),
        now=now,
    )
    return {"shown": shown, "asked": request, "facts": facts, "brief": Brief(facts), "own": shown.own}
