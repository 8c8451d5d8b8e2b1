"""Evaluate a policy: the same code for the dry run, for the request, and for the recheck at the start."""

from __future__ import annotations

from sessions_app.policy.decision import Decision, Deny, Outcome, RuleResult
from sessions_app.policy.policies import LATEST_REVIEW, STALENESS, Clause, PolicyDocument
from sessions_app.policy.rules import (
    Ask,
    AtOnce,
    BreakGlassReviewed,
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
    OwnIncident,
    OwnIncidentReviewed,
    Reason,
    RequesterEnabled,
    RoleInWorkflow,
    Rule,
    Start,
    SweeperAlive,
    Ticket,
    WithinWorkflow,
    WorkflowFacts,
    WorkflowFits,
    WorkflowFresh,
    WorkflowOnCluster,
    WorkflowOpen,
    WorkflowVouches,
)


def rules_of(
    policy: PolicyDocument,
    *,
    break_glass: bool,
    incident: bool = False,
    workflow: bool = False,
    vouched: bool = False,
) -> tuple[Rule, ...]:
    """Return the rules of a policy for planned access, for an incident, or for break-glass access.

    ``workflow``: a workflow is named, and the access is bound to it. ``vouched``: the facts of the workflow replace
    approvals.
    """
    common: list[Rule] = [
        RequesterEnabled(),
        Covers(policy.name, policy.clusters, policy.command_sets),
        MayRequest(policy.name),
        KindsFit(),
        HasTargets(),
        SweeperAlive(),
    ]
    # Incident access has its own versions of these rules, with wording for incidents.
    bound: list[Rule] = [] if incident or not workflow else [WorkflowOpen(), WorkflowOnCluster()]
    bound += _for_workflow(policy, named=workflow, break_glass=break_glass)
    if break_glass:
        limit = policy.break_glass.max_duration if policy.break_glass else 0
        return (
            *common,
            MayBreakGlass(policy.name, policy.break_glass),
            BreakGlassReviewed(),
            AtOnce(),
            MaxDuration(policy.name, limit),
            *bound,
        )
    if incident:
        return (*common, *_for_incidents(policy), *bound)
    planned: list[Rule] = [
        MaxDuration(policy.name, policy.max_duration),
        Start(policy.max_horizon),
        Reason(required=policy.reason == "required"),
        NotFrozen(policy.freezes),
    ]
    if not vouched:
        planned.append(EnoughApprovers(policy.clauses))
    if policy.windows is not None:
        planned.append(InWindow(policy.windows))
    if policy.ticket is not None:
        planned.append(Ticket(policy.ticket))
    if policy.workflow and policy.workflow.approvals == "none" and policy.clauses:
        planned.append(WorkflowVouches())
    return (*common, *planned, *bound)


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


def clauses_for(
    policy: PolicyDocument, *, break_glass: bool, incident: bool, vouched: bool = False
) -> tuple[Clause, ...]:
    """Return the approvals that this kind of access needs; none if the workflow vouches for the requester."""
    if break_glass:
        return ()
    if incident:
        return policy.incident_clauses
    return () if vouched else policy.clauses


def vouches(policy: PolicyDocument, workflow: WorkflowFacts | None) -> bool:
    """Whether the policy lets the facts of this workflow replace approvals. Only if it is known to be another person's
    doing.
    """
    terms = policy.workflow
    return bool(terms and terms.approvals == "none" and workflow and workflow.doing.is_others)


def review_within(policy: PolicyDocument, *, break_glass: bool, own_incident: bool) -> int | None:
    """Return within how many seconds someone else must review access that nobody approves; None: no review."""
    if break_glass:
        return policy.break_glass.review_within if policy.break_glass else LATEST_REVIEW
    if own_incident and not policy.incident_clauses:
        return policy.incident.review_within if policy.incident else LATEST_REVIEW
    return None


def evaluate(*, ask: Ask, facts: Facts, policy: PolicyDocument) -> Decision:
    """Evaluate what would happen to ``ask`` now, with the result of each rule. Changes nothing and reads nothing."""
    sort = {
        "break_glass": ask.break_glass, "incident": ask.incident is not None,
        "vouched": not ask.break_glass and ask.incident is None and vouches(policy, facts.workflow),
    }  # fmt: skip
    results = tuple(
        _result(rule, ask, facts) for rule in rules_of(policy, **sort, workflow=bool(ask.workflow))
    )
    clauses = clauses_for(policy, **sort)
    if not all(result.permitted for result in results):
        return Decision(Outcome.REFUSED, results, clauses)
    return Decision(Outcome.NEEDS_APPROVAL if clauses else Outcome.STARTS, results, clauses)


def _result(rule: Rule, ask: Ask, facts: Facts) -> RuleResult:
    answer = rule.verify(ask, facts)
    if isinstance(answer, Deny):
        return RuleResult(type(rule), False, answer.message, answer.fix, answer.offer, answer.moments)
    return RuleResult(type(rule), True, answer.message)
