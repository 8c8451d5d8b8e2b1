"""Rules that check whether the reasons for a grant still apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sessions_app.policy.approval_count import Standing, resolve
from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.policies import Clause
from sessions_app.policy.rules.doing import UNTOLD
from sessions_app.policy.rules.facts import Ask, Facts

_AGAIN = "Request new access, and have it approved or reviewed."


@dataclass(frozen=True, slots=True)
class ScopeUnchanged:
    """Requires the approved targets, commands and workflow facts."""

    tag: ClassVar[str] = "scope_unchanged"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.grant is not None and facts.grant.unchanged:
            return Permit("The targets and commands are the approved ones.")
        return Deny("Targets or commands changed since the approval.", "Request new access.")


@dataclass(frozen=True, slots=True)
class ApprovalsStand:
    """Requires the approvals that the policy currently requires, from people who could currently give
    them.
    """

    tag: ClassVar[str] = "approvals_stand"
    clauses: tuple[Clause, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if not self.clauses:
            return Permit("No approval needed.")
        grant = facts.grant
        if grant is not None:
            counted = resolve(clauses=self.clauses, verdicts=grant.verdicts, digest=grant.digest)
            if counted.standing is Standing.APPROVED:
                return Permit("The grant's approvals are valid.")
        return Deny("The grant's approvals are no longer valid.", _AGAIN)


@dataclass(frozen=True, slots=True)
class WorkflowStillVouches:
    """For a workflow that took the place of an approval or a review: requires that it is still
    known to be another person's.
    """

    tag: ClassVar[str] = "workflow_still_vouches"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        grant, doing = facts.grant, facts.workflow.doing if facts.workflow else UNTOLD
        if grant is not None and (not grant.by_workflow or grant.reviewed):
            return Permit("The grant does not depend on who opened its workflow.")
        if grant is not None and doing.is_others:
            return Permit(f"{doing.said(ask.workflow)}.")
        return Deny(f"{doing.said(ask.workflow, grant.holder if grant else ask.requester)}.", _AGAIN)
