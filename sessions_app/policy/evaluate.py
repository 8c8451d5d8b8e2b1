"""One evaluator for the dry run, the request, and the check again at the start."""

from __future__ import annotations

from sessions_app.policy.decision import Decision, Deny, Outcome, RuleResult
from sessions_app.policy.policies import LATEST_REVIEW, STALENESS, Clause, PolicyDocument
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
)


def rules_of(
    policy: PolicyDocument,
    *,
    break_glass: bool,
    incident: bool = False,
    workflow: bool = False,
    vouched: bool = False,
) -> tuple[Rule, ...]:
    """Return the rules that a policy makes for planned work, for an incident, or for breaking glass.

    ``workflow`` says that a workflow is named, which the access is bound to then, ``vouched`` that the facts of it stand
    for approvals.
    """
    common: list[Rule] = [
        RequesterEnabled(),
        Covers(policy.name, policy.clusters, policy.command_sets),
        MayRequest(policy.name),
        KindsFit(),
        HasTargets(),
        SweeperAlive(),
    ]
    # An incident that is asked for as one has rules of its own, which say the same in its words.
    bound: list[Rule] = [] if incident or not workflow else [WorkflowOpen(), WorkflowOnCluster()]
    bound += _for_workflow(policy, named=workflow, break_glass=break_glass)
    if break_glass:
        limit = policy.break_glass.max_duration if policy.break_glass else 0
        return (
            *common,
            MayBreakGlass(policy.name, policy.break_glass),
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
    """Return the approvals that access of this sort needs; none where the work vouches for who asks."""
    if break_glass:
        return ()
    if incident:
        return policy.incident_clauses
    return () if vouched else policy.clauses


def vouches(policy: PolicyDocument, workflow: WorkflowFacts | None) -> bool:
    """Whether the policy lets the facts of this work stand for approvals. Who opened it has approved nothing by that."""
    terms = policy.workflow
    return bool(terms and terms.approvals == "none" and workflow and not workflow.own_doing)


def review_within(policy: PolicyDocument, *, break_glass: bool, own_incident: bool) -> int | None:
    """Return within how many seconds somebody else must review access of this sort, for nobody approves it; None: need not."""
    if break_glass:
        return policy.break_glass.review_within if policy.break_glass else LATEST_REVIEW
    if own_incident and not policy.incident_clauses:
        return policy.incident.review_within if policy.incident else LATEST_REVIEW
    return None


def evaluate(*, ask: Ask, facts: Facts, policy: PolicyDocument) -> Decision:
    """Answer what would happen to ``ask`` now, with each rule's yes or no. Changes nothing and reads nothing."""
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
        return RuleResult(rule.tag, False, answer.message, answer.fix, answer.offer, answer.moments)
    return RuleResult(rule.tag, True, answer.message)
