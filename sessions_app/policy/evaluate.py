"""One evaluator for the dry run, the request, and the check again at the start."""

from __future__ import annotations

from sessions_app.policy.decision import Decision, Deny, Outcome, RuleResult
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.rules import (
    Ask,
    Covers,
    EnoughApprovers,
    Facts,
    HasTargets,
    InWindow,
    MaxDuration,
    MayBreakGlass,
    MayRequest,
    NotFrozen,
    Reason,
    RequesterEnabled,
    Rule,
    Start,
    SweeperAlive,
    Ticket,
)


def rules_of(policy: PolicyDocument, *, break_glass: bool) -> tuple[Rule, ...]:
    """Return the rules that a policy makes for planned work, or for breaking glass."""
    common: list[Rule] = [
        RequesterEnabled(),
        MayRequest(policy.name),
        Covers(policy.name, policy.clusters, policy.command_sets),
        HasTargets(),
        SweeperAlive(),
    ]
    if break_glass:
        limit = policy.break_glass.max_duration if policy.break_glass else 0
        return (*common, MayBreakGlass(policy.name, policy.break_glass), MaxDuration(policy.name, limit))
    planned: list[Rule] = [
        MaxDuration(policy.name, policy.max_duration),
        Start(policy.max_horizon),
        Reason(required=policy.reason == "required"),
        NotFrozen(policy.freezes),
        EnoughApprovers(policy.clauses),
    ]
    if policy.windows is not None:
        planned.append(InWindow(policy.windows))
    if policy.ticket is not None:
        planned.append(Ticket(policy.ticket))
    return (*common, *planned)


def evaluate(*, ask: Ask, facts: Facts, policy: PolicyDocument) -> Decision:
    """Answer what would happen to ``ask`` now, with each rule's yes or no. Changes nothing and reads nothing."""
    results = tuple(_result(rule, ask, facts) for rule in rules_of(policy, break_glass=ask.break_glass))
    clauses = () if ask.break_glass else policy.clauses
    if not all(result.permitted for result in results):
        return Decision(Outcome.REFUSED, results, clauses)
    return Decision(Outcome.NEEDS_APPROVAL if clauses else Outcome.STARTS, results, clauses)


def _result(rule: Rule, ask: Ask, facts: Facts) -> RuleResult:
    answer = rule.verify(ask, facts)
    if isinstance(answer, Deny):
        return RuleResult(rule.tag, False, answer.message, answer.fix, answer.offer)
    return RuleResult(rule.tag, True, answer.message)
