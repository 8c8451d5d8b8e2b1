"""Rules about incidents and about breaking the glass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.policies import BreakGlass, Incident
from sessions_app.policy.rules.facts import Ask, Facts

_INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class MayBreakGlass:
    """Only those whom the policy names, for a short time, with a reason, and with no review overdue."""

    tag: ClassVar[str] = "may_break_glass"
    policy: str
    terms: BreakGlass | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if self.terms is None:
            return Deny(f"{self.policy} does not allow breaking glass.", "Ask for planned access.")
        if not ask.requester_groups.intersection(self.terms.groups):
            return Deny(
                "You are not in a group that may break glass here.",
                "Ask one of: " + ", ".join(self.terms.groups),
            )
        if facts.overdue_reviews:
            them = " and ".join(facts.overdue_reviews)
            return Deny(
                f"You broke the glass for {them}, and the review is overdue.",
                "Have an approver review it first.",
                {"review": list(facts.overdue_reviews)},
            )
        if not ask.reason.strip():
            return Deny("Breaking glass needs a reason.", "Say in a few words what is wrong.")
        if ask.starts_at is not None:
            return Deny("Breaking glass starts at once.", "Leave the start out.", {"starts_at": None})
        return Permit("Starts at once; all approvers are told, and somebody else reviews it.")


@dataclass(frozen=True, slots=True)
class IncidentOpen:
    """Access for an incident is bound to one that is open, and to work of no other kind. What was closed is never open again."""

    tag: ClassVar[str] = "incident_open"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not ask.incident:
            return Deny("No incident is named.", "Choose the incident that the access is for.")
        if facts.work is not None and facts.work.kind != _INCIDENT:
            return Deny(
                f"{ask.incident} is a {facts.work.kind}, and who is on call gets access for incidents alone.",
                f"Ask for planned work, and name {ask.incident} there.",
            )
        if facts.work_open and facts.work is not None:
            return Permit(f"{ask.incident} is open. The access ends when it is closed.")
        return Deny(
            f"{ask.incident} is not an open incident.",
            "Choose one that is open, or open a new one.",
        )


@dataclass(frozen=True, slots=True)
class IncidentOnCluster:
    """The incident must be on the cluster that is asked for."""

    tag: ClassVar[str] = "incident_on_cluster"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.work_on_cluster:
            return Permit(f"{ask.incident} is on {ask.cluster}.")
        return Deny(
            f"{ask.incident or 'The incident'} is not on {ask.cluster}.",
            f"Choose an incident on {ask.cluster}, or one of the incident's clusters.",
        )


@dataclass(frozen=True, slots=True)
class OnCall:
    """Only those whom the policy puts on call for incidents."""

    tag: ClassVar[str] = "on_call"
    policy: str
    terms: Incident | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if self.terms is None:
            return Deny(f"{self.policy} gives no access for incidents.", "Ask for planned access.")
        if ask.requester_groups.intersection(self.terms.on_call):
            return Permit(f"{ask.requester} is on call.")
        return Deny(
            f"{ask.requester} is not on call under {self.policy}.",
            "Ask one of: " + ", ".join(self.terms.on_call),
        )


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Access for an incident is for now, so it has no start of its own."""

    tag: ClassVar[str] = "at_once"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.starts_at is None:
            return Permit("Starts at once; windows and freezes do not hold an incident up.")
        return Deny("Access for an incident starts at once.", "Leave the start out.", {"starts_at": None})
