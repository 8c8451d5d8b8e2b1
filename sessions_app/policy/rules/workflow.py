"""Rules about workflows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sessions_app.policy.decision import Deny, Permit, say_utc
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import WorkflowNeeded
from sessions_app.policy.rules.facts import Ask, Facts, WorkflowFacts, said_of, start_of

_PARTS = {"assignee": "assigned to", "member": "a member of", "on_call": "on call for"}


@dataclass(frozen=True, slots=True)
class WorkflowOpen:
    """Requires that the named workflow is open. A closed workflow is never reopened."""

    tag: ClassVar[str] = "workflow_open"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if ask.workflow and facts.workflow_open:
            return Permit(f"{ask.workflow} is open. Access ends when it is closed.")
        return Deny(f"{ask.workflow or 'The workflow'} is not open.", "Name an open workflow.")


@dataclass(frozen=True, slots=True)
class WorkflowOnCluster:
    """Requires that the workflow is on the requested cluster."""

    tag: ClassVar[str] = "workflow_on_cluster"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow_on_cluster:
            return Permit(f"{ask.workflow} is on {ask.cluster}.")
        return Deny(
            f"{ask.workflow or 'The workflow'} is not on {ask.cluster}.",
            f"Name a workflow on {ask.cluster}, or choose one of its clusters.",
        )


@dataclass(frozen=True, slots=True)
class WorkflowFits:
    """Requires a workflow of a kind, a source and a severity that the policy accepts."""

    tag: ClassVar[str] = "workflow_fits"
    policy: str
    terms: WorkflowNeeded

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        kinds = " or ".join(self.terms.kinds)
        if facts.workflow is None:
            return Deny(
                f"{self.policy} requires a workflow, and none is named.",
                f"Name an open {kinds}.",
                _offered(facts),
            )
        wrong = self._wrong(facts.workflow)
        if wrong:
            return Deny(
                f"{ask.workflow} {wrong}.", f"{self.policy} requires {self._wanted()}.", _offered(facts)
            )
        return Permit(f"{ask.workflow} meets the requirements of {self.policy}.")

    def _wrong(self, workflow: WorkflowFacts) -> str:
        terms = self.terms
        if workflow.kind not in terms.kinds:
            return f"is of the kind {workflow.kind}"
        if terms.sources is not None and workflow.source not in terms.sources:
            return f"comes from {workflow.source}"
        if terms.severity is not None and workflow.severity not in terms.severity:
            return f"has the severity {workflow.severity}" if workflow.severity else "has no severity"
        return ""

    def _wanted(self) -> str:
        terms = self.terms
        parts = ["an open " + " or ".join(terms.kinds)]
        if terms.severity is not None:
            parts.append("with the severity " + " or ".join(terms.severity))
        if terms.sources is not None:
            parts.append("from " + " or ".join(terms.sources))
        return " ".join(parts)


def _offered(facts: Facts) -> dict[str, Any]:
    return {"workflow": list(facts.fitting)} if facts.fitting else {}


@dataclass(frozen=True, slots=True)
class RoleInWorkflow:
    """Requires that the requester has the role in the workflow that the policy requires."""

    tag: ClassVar[str] = "role_in_workflow"
    part: str

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        said = _PARTS.get(self.part, "")
        if facts.workflow is not None and said and self.part in facts.workflow.roles:
            return Permit(f"{ask.requester} is {said} {ask.workflow}.")
        return Deny(
            f"{ask.requester} is not {said} {ask.workflow or 'the workflow'}.",
            f"Someone who is {said} it can submit the request.",
        )


@dataclass(frozen=True, slots=True)
class WorkflowVouches:
    """Reports whether the workflow replaces approvals under the policy.

    If the requester may have created the workflow, people must approve instead, so this rule never denies.
    """

    tag: ClassVar[str] = "workflow_vouches"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is None:
            return Permit("No workflow is named, so people must approve.")
        doing = facts.workflow.doing
        so = "no approval is needed" if doing.is_others else "people must approve"
        return Permit(f"{said_of(doing, ask, facts)}, so {so}.")


@dataclass(frozen=True, slots=True)
class WorkflowFresh:
    """Treats a workflow that could not be read for too long as closed."""

    tag: ClassVar[str] = "workflow_fresh"
    staleness: int

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is None:
            return Deny("No workflow is named.", "Name an open workflow.")
        silence = facts.workflow.silence
        if silence is None or silence <= self.staleness:
            return Permit(f"The status of {ask.workflow} is current.")
        return Deny(
            f"{ask.workflow} could not be read for {say_duration(int(silence))}, so it counts as closed.",
            f"Try again when {facts.workflow.source} responds again.",
        )


@dataclass(frozen=True, slots=True)
class WithinWorkflow:
    """Requires that access stays within the planned time of the workflow."""

    tag: ClassVar[str] = "within_workflow"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.workflow is None:
            return Deny("No workflow is named.", "Name an open workflow.")
        opens, closes = facts.workflow.starts_at, facts.workflow.ends_at
        start = start_of(ask, facts)
        if opens is not None and start < opens:
            return Deny(
                f"{ask.workflow} begins {say_utc(opens)}.",
                "Start with the workflow, or remove the start time.",
                {"starts_at": None},
                (opens,),
            )
        if closes is None:
            return Permit(
                f"{ask.workflow} has no planned end."
                if opens is None
                else f"Access starts no earlier than {ask.workflow}."
            )
        left = int((closes - start).total_seconds())
        if left <= 0:
            return Deny(
                f"The planned time of {ask.workflow} has passed.", "Reschedule the workflow, then try again."
            )
        if ask.duration > left:
            return Deny(
                f"Access would end after {ask.workflow}, which ends {say_utc(closes)}.",
                f"Choose at most {say_duration(left)}.",
                {"duration": left},
                (closes,),
            )
        return Permit(f"The requested time is within {ask.workflow}.")
