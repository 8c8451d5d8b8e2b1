"""The outcome of submitting a request form, as a list of steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from broker.kernel.errors import StintError
from sessions_app.models import Grant, RequestKind
from sessions_app.policy.decision import RuleResult
from sessions_app.policy.durations import say_duration
from sessions_app.policy.rules import HasTargets, Reason, Ticket, WorkflowVouches
from sessions_app.queries.requests.preview import Preview
from sessions_app.web.forms.faults import Faults
from sessions_app.web.requests.asking_page import AskPage
from sessions_app.web.requests.needed import Needed, needed
from sessions_app.web.templatetags.stint import in_zone
from sessions_app.web.templatetags.times import say_moment, say_rough, when, when_both, window

# Rules about fields that may still be empty, with the ids of the fields. Their failures are shown as missing
# input, not as refusals.
SOFT: dict[Any, str] = {Reason: "reason", Ticket: "ticket", HasTargets: "target-1"}
MOST_TARGETS, MOST_OVERLAPS = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeStep:
    """One consequence of submitting: a tone with an icon or a number, a title, a note and actions.

    ``buttons`` contains pairs of the value to send and a label. ``links`` contains pairs of an address and a
    label.
    """

    tone: str
    title: str
    icon: str = ""
    mark: str = ""
    note: str | SafeString = ""
    buttons: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()
    reads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormOutcome:
    """The outcome of a form.

    If there is no ``preview``, there is no decision yet, and ``missing`` is the reason.

    ``usual`` is the typical time to a decision in seconds. ``to_review`` contains the grants that must be
    reviewed first.
    """

    ask: AskPage
    now: dt.datetime
    preview: Preview | None = None
    missing: StintError | None = None
    usual: int | None = None
    to_review: Sequence[str] = ()
    # The errors of the submitted form, and whether a form was submitted.
    faults: Faults = field(default_factory=Faults)
    failed: bool = False

    @property
    def needed(self) -> Sequence[Needed]:
        """The items that are still missing before the form can be submitted."""
        return needed(self.ask)

    @property
    def urgent(self) -> bool:
        """Whether the request is for break-glass access."""
        return self.ask.draft.kind == RequestKind.BREAK_GLASS

    @property
    def refused(self) -> bool:
        """Whether the policy refuses the request for reasons other than empty fields."""
        refusals = self.preview.decision.refusals if self.preview else ()
        return any(one.of not in SOFT for one in refusals)

    @property
    def approvals(self) -> int:
        """The number of approvals that the request would need."""
        return sum(clause.count for clause in self.preview.decision.clauses) if self.preview else 0

    @property
    def approvers(self) -> list[str]:
        """The people who could approve the request, without duplicates."""
        offered = self.preview.approvers if self.preview else ()
        return list(dict.fromkeys(str(person) for _, people in offered for person in people))

    @property
    def summary(self) -> str:
        """The outcome as a short phrase."""
        if self.ask.unread:
            return "Checked when submitted"
        if self.needed:
            return f"{_many(len(self.needed), 'field')} still needed"
        if self.missing:
            return "Incomplete"
        if not self.preview or self.refused:
            return "Not possible yet"
        if self.approvals:
            return f"Needs {_many(self.approvals, 'approval')}"
        return "No approval needed" if self.preview.starts_later else "Starts immediately"

    @property
    def send_label(self) -> str | SafeString:
        """The text of the submit button."""
        if self.refused or not self.preview:
            return "Submit"
        if self.approvals:
            return f"Submit to {_many(len(self.approvers), 'approver')}"
        if self.urgent:
            return "Start break-glass access"
        if self.preview.starts_later:
            return format_html("Schedule for {}", when(self.preview.starts_at))
        return "Start access"

    @property
    def steps(self) -> list[OutcomeStep]:
        """The steps of the outcome, in order."""
        if not self.preview:
            return [self._unanswered()]
        steps = list(self._refusals(self.preview))
        return steps if self.refused else [*steps, *self._success(self.preview)]

    @property
    def already(self) -> SafeString | str:
        """When the requester already has the same access: `until 14:00 CET`. Empty if they don't have it."""
        grant = self.preview.already if self.preview else None
        if grant is None:
            return ""
        if grant.starts_at <= self.now < grant.expires_at:
            return format_html("until {}", when(grant.expires_at))
        return window(grant.starts_at, grant.expires_at)

    @property
    def overlaps(self) -> Sequence[Grant]:
        """Other people's grants at the same time that the requester can see."""
        return self.preview.overlaps[:MOST_OVERLAPS] if self.preview and not self.refused else ()

    @property
    def others(self) -> str:
        """The number of other people who would also have access."""
        many = self.preview.others if self.preview and not self.refused else 0
        return _many(many, "other") if many else ""

    @property
    def later(self) -> dt.datetime | None:
        """The end of the last overlapping grant, if a later start is possible."""
        if not self.overlaps or self.ask.draft.kind != RequestKind.PLANNED:
            return None
        return max(grant.expires_at for grant in self.preview.overlaps) if self.preview else None

    @property
    def overlap_advice(self) -> str:
        """A hint about how the requester can avoid an overlap."""
        seen = "approvers will see the overlap" if self.approvals else ""
        if self.later:
            return f"or continue{f'; {seen}' if seen else ''}."
        return f"You can continue; {seen}." if seen else ""

    @property
    def quick(self) -> str:
        """Another command set on the cluster that needs no approval; empty if the selected one needs none
        either.
        """
        if not self.approvals or not self.preview or self.preview.workflow:
            return ""
        draft = self.ask.draft
        free = (one.name for one in self.ask.sets if not one.approvals and one.name != draft.command_set)
        return next(free, "")

    @property
    def quick_url(self) -> str:
        """The address of the form with that command set."""
        query = {"cluster": self.ask.draft.cluster, "set": self.quick, "kind": "quick"}
        return f"{reverse('request_new')}?{urlencode(query)}"

    def _unanswered(self) -> OutcomeStep:
        """Return the step for a form without a decision, with the reason."""
        ask, draft = self.ask, self.ask.draft
        price = f"{draft.command_set} needs {ask.price}."
        if ask.unread:
            note = (
                "Stint will read the workflow's current state from its source. If the workflow "
                f"is open on {draft.cluster}, {price} If not, nothing is submitted and your input is kept."
            )
            title = f"{draft.workflow} is checked when you submit"
            return OutcomeStep(tone="info", icon="ask", title=title, note=note, reads=True)
        if self.missing and self.failed:
            note = "Fix the marked fields to see what will happen."
            return OutcomeStep(tone="warn", icon="ask", title="Not submitted", note=note)
        if self.missing:
            return OutcomeStep(tone="info", icon="ask", title=self.missing.message, note=self.missing.hint)
        if ask.clusters and self.needed:
            title = f"{draft.command_set} needs {ask.price}" if ask.sets else "Depends on the cluster"
            note = f"Fill in the rest to see {'what will happen' if ask.sets else 'approvals and times'}."
            return OutcomeStep(tone="info", icon="ask", title=title, note=note)
        none_open = draft.kind == RequestKind.INCIDENT and not ask.incidents
        return OutcomeStep(
            tone="mute",
            icon="lock",
            title="No open incidents" if none_open else "Nothing to request here",
            note="Choose another cluster or another type of access.",
        )

    def _refusals(self, preview: Preview) -> Iterator[OutcomeStep]:
        asked_for = {one.field for one in self.needed}
        for at, result in enumerate(preview.decision.refusals):
            if SOFT.get(result.of) in asked_for:
                continue
            buttons = _buttons(result, preview, self.now)
            message, fix = in_zone(result.message, result), in_zone(result.fix, result)
            if result.rule in self.faults.said or result.message in self.faults.texts:
                if buttons or not at:
                    yield OutcomeStep(
                        tone="warn",
                        icon="ask",
                        title="Or" if at else "Not submitted",
                        note=f"Fix the marked fields{', or use this' if buttons else ''}.",
                        buttons=buttons,
                    )
            elif result.of in SOFT:
                yield OutcomeStep(tone="warn", icon="ask", title=message, note=fix)
            else:
                links = [
                    (f"{reverse('grant', args=[ref])}#review", f"See who can review {ref}")
                    for ref in self.to_review
                ]
                yield OutcomeStep(
                    tone="bad",
                    icon="x",
                    title=message,
                    note="" if buttons else fix,
                    buttons=buttons,
                    links=links if result.offer.get("review") else (),
                )

    def _success(self, preview: Preview) -> Iterator[OutcomeStep]:
        yield self._approval(preview) if self.approvals else self._no_approval(preview)
        yield self._time(preview)
        names = ", ".join(target.name for target in preview.targets[:MOST_TARGETS])
        more = len(preview.targets) - MOST_TARGETS
        commands = _many(len(preview.compiled.commands), "command")
        yield OutcomeStep(
            tone="ok",
            icon="cmd",
            title=f"{commands} on {_many(len(preview.targets), 'target')}",
            note=f"{names}{f' and {more} more' if more > 0 else ''}. Nothing else can run.",
        )
        yield self._end(preview)

    def _approval(self, preview: Preview) -> OutcomeStep:
        wanted = (
            f"{_many(clause.count, 'approval')} from {' or '.join(clause.groups)}"
            for clause, _ in preview.approvers
        )
        usual = "" if self.usual is None else f" Usually takes {say_rough(self.usual)}."
        return OutcomeStep(
            tone="warn",
            mark=str(self.approvals),
            title=f"Needs {_many(self.approvals, 'approval')}",
            note=f"{_vouching(preview)}{', and '.join(wanted)}: {', '.join(self.approvers)}.{usual}",
        )

    def _no_approval(self, preview: Preview) -> OutcomeStep:
        reviewed = "so all approvers are notified and someone else reviews it afterward."
        if self.urgent:
            note = "All approvers are notified, and someone else reviews it afterward."
        elif preview.reviewed and preview.workflow:
            note = f"{preview.case.doing.said(preview.workflow.ref)}, {reviewed}"
        elif self.ask.draft.kind == RequestKind.INCIDENT:
            note = "All approvers are notified. Windows and freezes don't apply."
        else:
            note = _vouching(preview) or f"{preview.version.command_set} needs no approval here."
        return OutcomeStep(
            tone="glass" if self.urgent else "ok",
            icon="flame" if self.urgent else "check",
            title="No approval needed" if preview.starts_later else "Starts immediately",
            note=note,
        )

    def _time(self, preview: Preview) -> OutcomeStep:
        if preview.starts_later:
            title: str | SafeString = window(preview.starts_at, preview.ends_at, True)
        elif self.approvals:
            title = "Starts on approval"
        else:
            title = format_html("Until {}", when_both(preview.ends_at))
        workflow = preview.workflow
        with_it = preview.starts_later and not self.ask.draft.starts_later and workflow
        start = f"Starts with {workflow.ref}. " if with_it and workflow else ""
        lasts = f"{start}Lasts {say_duration(self.ask.draft.seconds)}."
        if not self.approvals:
            return OutcomeStep(tone="info", icon="clock", title=title, note=lasts)
        ends = (
            f"Ends with {workflow.ref} at the latest."
            if workflow and workflow.ends_at
            else "The clock starts on approval."
        )
        note = format_html("{} {} Expires {} if not decided.", lasts, ends, when(preview.lapses_at))
        return OutcomeStep(tone="info", icon="clock", title=title, note=note)

    def _end(self, preview: Preview) -> OutcomeStep:
        extension = preview.document.extension
        more = "This policy allows no extension."
        if extension and not preview.reviewed:
            more = f"You can extend it {_many(extension.times, 'time')} by {say_duration(extension.by)}."
        sooner = "Access ends sooner if its time runs out first. " if preview.workflow else ""
        ends = f"with {preview.workflow.ref}" if preview.workflow else "automatically"
        return OutcomeStep(
            tone="mute",
            icon="rec",
            title=f"Recorded, and ends {ends}",
            note=f"{sooner}You can end it early. {more}",
        )


def _vouching(preview: Preview) -> str:
    """Return a sentence, with a trailing space, about whether the workflow replaces approvals; empty if the
    policy ignores it.
    """
    return "".join(f"{one.message} " for one in preview.decision.results if one.of is WorkflowVouches)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _buttons(result: RuleResult, preview: Preview, now: dt.datetime) -> list[tuple[str, str]]:
    """Return the fixes for a refusal: pairs of the value to send and the button's label."""
    found = []
    for name, value in result.offer.items():
        if name == "duration":
            found.append((f"duration={value}", f"Change to {say_duration(value)}"))
        elif name == "workflow":
            found += [(f"workflow={ref}", f"Link {ref}") for ref in value]
        elif name == "starts_at" and value is None:
            found.append(("starts_at=", _without_start(preview, now)))
        elif name == "starts_at":
            moment = dt.datetime.fromisoformat(value)
            found.append((f"starts_at={value}", f"Start {say_moment(moment, now)}"))
    return found


def _without_start(preview: Preview, now: dt.datetime) -> str:
    workflow = preview.workflow
    if workflow and workflow.starts_at and workflow.starts_at > now:
        return f"Start with {workflow.ref}"
    return "Start on approval"
