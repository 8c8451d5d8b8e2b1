"""Rules about incidents and break-glass access."""

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
            return Deny(f"{self.policy} does not allow break-glass access.", "Request planned access.")
        if not ask.requester_groups.intersection(self.terms.groups):
            return Deny(
                "You are not in a group with break-glass access here.",
                "Ask one of: " + ", ".join(self.terms.groups),
            )
        if facts.overdue_reviews:
            return _overdue(facts)
        if not ask.reason.strip():
            return Deny("Break-glass access requires a reason.", "Describe the problem in a few words.")
        if ask.starts_at is not None:
            return Deny(
                "Break-glass access starts immediately.", "Remove the start time.", {"starts_at": None}
            )
        return Permit("Starts immediately. All approvers are notified, and someone else reviews it.")


@dataclass(frozen=True, slots=True)
class IncidentOpen:
    """Access for an incident is bound to one that is open, and to work of no other kind. What was closed is never open again."""

    tag: ClassVar[str] = "incident_open"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not ask.incident:
            return Deny("No incident is named.", "Choose the incident that the access is for.")
        if facts.workflow is not None and facts.workflow.kind != _INCIDENT:
            return Deny(
                f"{ask.incident} is a {facts.workflow.kind}, and on-call access is for incidents only.",
                f"Request planned access and name {ask.incident} there.",
            )
        if facts.workflow_open and facts.workflow is not None:
            return Permit(f"{ask.incident} is open. Access ends when it is closed.")
        return Deny(
            f"{ask.incident} is not an open incident.",
            "Choose an open incident, or open a new one.",
        )


@dataclass(frozen=True, slots=True)
class IncidentOnCluster:
    """The incident must be on the cluster that is asked for."""

    tag: ClassVar[str] = "incident_on_cluster"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow_on_cluster:
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
            return Deny(f"{self.policy} does not give access for incidents.", "Request planned access.")
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
            return Permit("Starts immediately. Windows and freezes do not apply to incidents.")
        return Deny(
            "Access for an incident starts immediately.", "Remove the start time.", {"starts_at": None}
        )


@dataclass(frozen=True, slots=True)
class OwnIncident:
    """Who opened an incident has approved nothing by that. The policy may forbid access by it; a machine never gets any."""

    tag: ClassVar[str] = "own_incident"
    policy: str
    terms: Incident | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is None:
            return Deny("The incident has no known opener.", "Choose an open incident.")
        if not facts.workflow.own_doing:
            return Permit("Someone else opened the incident.")
        if not facts.is_person:
            return Deny(
                f"{ask.incident} was opened by {ask.requester} or its owner, and machines get no access from their own incidents.",
                "Have someone else open the incident, or request planned access.",
            )
        if self.terms is None or self.terms.own == "forbid":
            return Deny(
                f"You opened {ask.incident} yourself, and {self.policy} gives no access for your own incidents.",
                "Have someone else open the incident, or request planned access.",
            )
        return Permit("You opened the incident yourself.")


@dataclass(frozen=True, slots=True)
class OwnIncidentReviewed:
    """Access for one's own incident without approval is like break-glass access: a reason, and no overdue review."""

    tag: ClassVar[str] = "own_incident_reviewed"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is not None and not facts.workflow.own_doing:
            return Permit("No review needed.")
        if facts.overdue_reviews:
            return _overdue(facts)
        if not ask.reason.strip():
            return Deny(
                "Access for your own incident requires a reason.",
                "Describe the problem in a few words.",
            )
        return Permit("All approvers are notified, and someone else reviews it.")


def _overdue(facts: Facts) -> Deny:
    them = " and ".join(facts.overdue_reviews)
    return Deny(
        f"The review of {them}, which started without approval, is overdue.",
        "Ask an approver to review it first.",
        {"review": list(facts.overdue_reviews)},
    )
