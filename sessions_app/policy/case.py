"""A request or a grant, with all data that its evaluation depends on."""

from __future__ import annotations

from dataclasses import dataclass

from sessions_app.policy.policies import LATEST_REVIEW, Clause, PolicyDocument
from sessions_app.policy.rules import UNTOLD, Ask, Doing, Facts, WorkflowFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request or a grant at one time, `facts.now`.

    ``policy`` is the document of its policy, with terms no wider than those that were approved, and
    ``version`` the number of that document; 0 for a draft. ``counted`` is whether the workflow counted as an
    approval when the request was submitted; None before that.
    """

    ask: Ask
    facts: Facts
    policy: PolicyDocument
    version: int = 0
    counted: bool | None = None

    @property
    def is_incident(self) -> bool:
        """Whether the case is on-call access for an incident."""
        return self.ask.incident is not None

    @property
    def doing(self) -> Doing:
        """Return who opened or changed the request's workflow. Unknown if the request names none."""
        return self.facts.workflow.doing if self.facts.workflow else UNTOLD

    @property
    def vouched(self) -> bool:
        """Whether the workflow takes the place of approvals."""
        if self.ask.break_glass or self.is_incident:
            return False
        return vouches(self.policy, self.facts.workflow) if self.counted is None else self.counted

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The approvals that the access needs."""
        return clauses_for(
            self.policy, break_glass=self.ask.break_glass, incident=self.is_incident, vouched=self.vouched
        )

    @property
    def review_within(self) -> int | None:
        """Return the number of seconds within which another person must review access that starts without
        approval; None if no review is required.
        """
        terms = self.policy
        if self.ask.break_glass:
            return terms.break_glass.review_within if terms.break_glass else LATEST_REVIEW
        if self.is_incident and not self.doing.is_others and not terms.incident_clauses:
            return terms.incident.review_within if terms.incident else LATEST_REVIEW
        return None


def clauses_for(
    policy: PolicyDocument, *, break_glass: bool, incident: bool, vouched: bool = False
) -> tuple[Clause, ...]:
    """Return the approvals that this kind of access needs.

    None are needed if the workflow vouches for the requester and the policy still allows that.
    """
    if break_glass:
        return ()
    if incident:
        return policy.incident_clauses
    return () if vouched and _by_workflow(policy) else policy.clauses


def vouches(policy: PolicyDocument, workflow: WorkflowFacts | None) -> bool:
    """Whether the policy accepts this workflow in place of approvals. The workflow qualifies only if it
    is known to have been opened by another person.
    """
    return bool(_by_workflow(policy) and workflow and workflow.doing.is_others)


def _by_workflow(policy: PolicyDocument) -> bool:
    return policy.workflow is not None and policy.workflow.approvals == "none"
