"""One evaluator for the dry run, the request, and the check again at the start."""

from __future__ import annotations

from sessions_app.policy.decision import Decision, Deny, Outcome, RuleResult
from sessions_app.policy.policies import Clause, PolicyDocument
from sessions_app.policy.rules import (
    Ask,
    AtOnce,
    Covers,
    EnoughApprovers,
    Facts,
    HasTargets,
    IncidentOnCluster,
    IncidentOpen,
    InWindow,
    KindsFit,
    MaxDuration,
    MayBreakGlass,
    MayRequest,
    NotFrozen,
    OnCall,
    Reason,
    RequesterEnabled,
    Rule,
    Start,
    SweeperAlive,
    Ticket,
)


def rules_of(policy: PolicyDocument, *, break_glass: bool, incident: bool = False) -> tuple[Rule, ...]:
    """Return the rules that a policy makes for planned work, for an incident, or for breaking glass."""
    common: list[Rule] = [
        RequesterEnabled(),
        MayRequest(policy.name),
        Covers(policy.name, policy.clusters, policy.command_sets),
        KindsFit(),
        HasTargets(),
        SweeperAlive(),
    ]
    if break_glass:
        limit = policy.break_glass.max_duration if policy.break_glass else 0
        return (*common, MayBreakGlass(policy.name, policy.break_glass), MaxDuration(policy.name, limit))
    if incident:
        return (*common, *_for_incidents(policy))
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


def _for_incidents(policy: PolicyDocument) -> list[Rule]:
    rules: list[Rule] = [
        IncidentOpen(),
        IncidentOnCluster(),
        OnCall(policy.name, policy.incident),
        AtOnce(),
        MaxDuration(policy.name, policy.incident.max_duration if policy.incident else 0),
    ]
    if policy.incident_clauses:
        rules.append(EnoughApprovers(policy.incident_clauses))
    return rules


def clauses_for(policy: PolicyDocument, *, break_glass: bool, incident: bool) -> tuple[Clause, ...]:
    """Return the approvals that access of this sort needs."""
    if break_glass:
        return ()
    return policy.incident_clauses if incident else policy.clauses


def evaluate(*, ask: Ask, facts: Facts, policy: PolicyDocument) -> Decision:
    """Answer what would happen to ``ask`` now, with each rule's yes or no. Changes nothing and reads nothing."""
    sort = {"break_glass": ask.break_glass, "incident": ask.incident is not None}
    results = tuple(_result(rule, ask, facts) for rule in rules_of(policy, **sort))
    clauses = clauses_for(policy, **sort)
    if not all(result.permitted for result in results):
        return Decision(Outcome.REFUSED, results, clauses)
    return Decision(Outcome.NEEDS_APPROVAL if clauses else Outcome.STARTS, results, clauses)


def _result(rule: Rule, ask: Ask, facts: Facts) -> RuleResult:
    answer = rule.verify(ask, facts)
    if isinstance(answer, Deny):
        return RuleResult(rule.tag, False, answer.message, answer.fix, answer.offer)
    return RuleResult(rule.tag, True, answer.message)
