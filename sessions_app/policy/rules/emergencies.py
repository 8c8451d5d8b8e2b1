"""Rules about incidents and break-glass access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.policies import BreakGlass, Incident
from sessions_app.policy.rules.asking import nobody_else
from sessions_app.policy.rules.doing import UNTOLD, Whose
from sessions_app.policy.rules.facts import Ask, Facts, said_of

_INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class MayBreakGlass:
    """Limits break-glass access to the people whom the policy names."""

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
        return Permit(f"{ask.requester} has break-glass access here.")


@dataclass(frozen=True, slots=True)
class BreakGlassReviewed:
    """Requires a reason for break-glass access, and no overdue review."""

    tag: ClassVar[str] = "break_glass_reviewed"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        return _reviewed(ask, facts, "Break-glass access")


@dataclass(frozen=True, slots=True)
class IncidentOpen:
    """Requires an open incident; no other kind of workflow will do. Closed incidents are never reopened."""

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
    """Requires an incident on the requested cluster."""

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
    """Limits incident access to the people who are on call under the policy."""

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
    """Requires an immediate start, because incident access and break-glass access have no start time of their
    own.
    """

    tag: ClassVar[str] = "at_once"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.starts_at is None:
            return Permit("Starts immediately. Windows and freezes do not apply.")
        kind = "Break-glass access" if ask.break_glass else "Access for an incident"
        return Deny(f"{kind} starts immediately.", "Remove the start time.", {"starts_at": None})


@dataclass(frozen=True, slots=True)
class OwnIncident:
    """Restricts access for the requester's own incidents, because opening or changing an incident is not an
    approval.

    The policy can forbid access for incidents that are, or may be, the requester's own. Machines never get
    such access.
    """

    tag: ClassVar[str] = "own_incident"
    policy: str
    terms: Incident | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is None:
            return Deny("Who opened the incident is unknown.", "Choose an open incident.")
        doing = facts.workflow.doing
        said = said_of(doing, ask, facts)
        if doing.is_others:
            return Permit(f"{said}.")
        fix = "Have someone else open an incident in Stint, or request planned access."
        own = doing.whose is Whose.OWN
        if not facts.is_person:
            whose = "their own incidents" if own else "incidents that may be their own"
            return Deny(f"{said}, and machines get no access from {whose}.", fix)
        if self.terms is None or self.terms.own == "forbid":
            whose = "your own incidents" if own else "incidents that may be your own"
            return Deny(f"{said}, and {self.policy} gives no access for {whose}.", fix)
        return Permit(f"{said}." if own else f"{said}, so it counts as your own.")


@dataclass(frozen=True, slots=True)
class OwnIncidentReviewed:
    """Requires a reason, and no overdue review, if the incident may be the requester's own. Such access is
    treated like break-glass access.
    """

    tag: ClassVar[str] = "own_incident_reviewed"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        doing = facts.workflow.doing if facts.workflow else UNTOLD
        if doing.is_others:
            return Permit("No review needed.")
        kind = "your own incident" if doing.whose is Whose.OWN else "an incident that may be your own"
        return _reviewed(ask, facts, f"Access for {kind}")


def _reviewed(ask: Ask, facts: Facts, kind: str) -> Permit | Deny:
    if not facts.is_known:
        return nobody_else(facts)
    if facts.overdue_reviews is None:
        return Deny("Stint could not determine which reviews are pending.", "Try again.")
    if facts.overdue_reviews:
        them = " and ".join(facts.overdue_reviews)
        return Deny(
            f"The review of {them}, which started without approval, is overdue.",
            "Ask an approver to review that access first.",
            {"review": list(facts.overdue_reviews)},
        )
    if not ask.reason.strip():
        return Deny(f"{kind} requires a reason.", "Describe the problem in a few words.")
    return Permit("All approvers are notified, and someone else reviews the access.")
