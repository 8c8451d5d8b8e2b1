"""Decide whether a request or a grant may be requested, approved, started, continued, or extended."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.case import Case
from sessions_app.policy.decision import Decision, Deny, Outcome, RuleResult
from sessions_app.policy.policies import STALENESS, PolicyDocument
from sessions_app.policy.rules import (
    ApprovalsStand,
    AtOnce,
    BreakGlassReviewed,
    Covers,
    EnoughApprovers,
    ExtensionInWindow,
    ExtensionLength,
    ExtensionNotFrozen,
    ExtensionsLeft,
    ExtensionWithinWorkflow,
    HasTargets,
    IncidentOnCluster,
    IncidentOpen,
    InWindow,
    KindsFit,
    MaxDuration,
    MayBreakGlass,
    MayExtend,
    MayRequest,
    NotDelegated,
    NotFrozen,
    OnCall,
    OneExtension,
    OwnIncident,
    OwnIncidentReviewed,
    Reason,
    RequesterEnabled,
    RoleInWorkflow,
    Rule,
    ScopeUnchanged,
    Start,
    SweeperAlive,
    Ticket,
    WithinWorkflow,
    WorkflowFits,
    WorkflowFresh,
    WorkflowOnCluster,
    WorkflowOpen,
    WorkflowStillVouches,
    WorkflowVouches,
)
from sessions_app.policy.steps import STEPS, Step


def evaluate(case: Case, step: Step) -> Decision:
    """Return the outcome of a case at a step, with the result of each rule.

    A pure function: changes nothing and reads nothing.
    """
    results = tuple(_results(case, step))
    if not all(result.permitted for result in results):
        return Decision(Outcome.REFUSED, results, case.clauses)
    return Decision(Outcome.NEEDS_APPROVAL if case.clauses else Outcome.STARTS, results, case.clauses)


def refusal(case: Case, step: Step) -> RuleResult | None:
    """Return the first rule that refuses the case at a step; None if none does.

    Later rules are not evaluated.
    """
    return next((result for result in _results(case, step) if not result.permitted), None)


def rules_of(case: Case, step: Step) -> tuple[Rule, ...]:
    """Return the rules that a case must meet at a step, in evaluation order."""
    rules = (*_of_extension(case), *_of_grant(case), *_of_access(case), *_of_longer_access(case))
    return tuple(rule for rule in rules if step in STEPS[type(rule)])


def _of_access(case: Case) -> tuple[Rule, ...]:
    """Return the rules for planned access, for access for an incident, or for break-glass access."""
    policy, incident, break_glass = case.policy, case.is_incident, case.ask.break_glass
    common: list[Rule] = [
        RequesterEnabled(),
        Covers(policy.name, policy.clusters, policy.command_sets),
        MayRequest(policy.name),
        KindsFit(),
        HasTargets(),
        SweeperAlive(),
    ]
    named = bool(case.ask.workflow)
    # Incident access has its own versions of these rules, with wording for incidents.
    bound: list[Rule] = [] if incident or not named else [WorkflowOpen(), WorkflowOnCluster()]
    bound += _for_workflow(policy, named=named, break_glass=break_glass)
    if break_glass:
        return (*common, *_for_break_glass(policy), *bound)
    if incident:
        return (*common, *_for_incidents(policy), *bound)
    return (*common, *_for_planned(case), *bound)


def _for_planned(case: Case) -> list[Rule]:
    policy = case.policy
    rules: list[Rule] = [
        MaxDuration(policy.name, policy.max_duration),
        Start(policy.max_horizon),
        Reason(required=policy.reason == "required"),
        NotFrozen(policy.freezes),
    ]
    if not case.vouched:
        rules.append(EnoughApprovers(policy.clauses))
    if policy.windows is not None:
        rules.append(InWindow(policy.windows))
    if policy.ticket is not None:
        rules.append(Ticket(policy.ticket))
    if policy.workflow and policy.workflow.approvals == "none" and policy.clauses:
        rules.append(WorkflowVouches())
    return rules


def _for_break_glass(policy: PolicyDocument) -> list[Rule]:
    limit = policy.break_glass.max_duration if policy.break_glass else 0
    return [
        MayBreakGlass(policy.name, policy.break_glass),
        BreakGlassReviewed(),
        AtOnce(),
        MaxDuration(policy.name, limit),
    ]


def _for_workflow(policy: PolicyDocument, *, named: bool, break_glass: bool) -> list[Rule]:
    rules: list[Rule] = []
    if policy.workflow and not break_glass:
        rules.append(WorkflowFits(policy.name, policy.workflow))
        if policy.workflow.requester != "anyone":
            rules.append(RoleInWorkflow(policy.workflow.requester))
    if named:
        staleness = policy.workflow.staleness if policy.workflow else STALENESS
        rules += [WorkflowFresh(staleness), WithinWorkflow()]
    return rules


def _for_incidents(policy: PolicyDocument) -> list[Rule]:
    rules: list[Rule] = [
        IncidentOpen(),
        IncidentOnCluster(),
        OnCall(policy.name, policy.incident),
        OwnIncident(policy.name, policy.incident),
        AtOnce(),
        MaxDuration(policy.name, policy.incident.max_duration if policy.incident else 0),
    ]
    rules.append(
        EnoughApprovers(policy.incident_clauses) if policy.incident_clauses else OwnIncidentReviewed()
    )
    return rules


def _of_grant(case: Case) -> list[Rule]:
    """Return the rules that check whether the reasons for a grant still apply."""
    anew = case.ask.extension is not None and bool(case.policy.extension_clauses)
    # Approvers of an extension also approve the access again.
    given: list[Rule] = [] if anew else [ApprovalsStand(case.clauses), WorkflowStillVouches()]
    return [ScopeUnchanged(), *given]


def _of_extension(case: Case) -> list[Rule]:
    terms = case.policy.extension
    return [NotDelegated(), MayExtend(case.policy.name, terms), ExtensionLength(terms)]


def _of_longer_access(case: Case) -> list[Rule]:
    """Return the rules for an extension of a grant. Windows and freezes do not apply to incidents."""
    policy = case.policy
    rules: list[Rule] = [OneExtension(), ExtensionsLeft(policy.extension), ExtensionWithinWorkflow()]
    if policy.windows is not None and not case.is_incident:
        rules.append(ExtensionInWindow(policy.windows))
    if not case.is_incident:
        rules.append(ExtensionNotFrozen(policy.freezes))
    return rules


def _results(case: Case, step: Step) -> Iterator[RuleResult]:
    for rule in rules_of(case, step):
        answer = rule.verify(case.ask, case.facts)
        if isinstance(answer, Deny):
            yield RuleResult(type(rule), False, answer.message, answer.fix, answer.offer, answer.moments)
        else:
            yield RuleResult(type(rule), True, answer.message)
