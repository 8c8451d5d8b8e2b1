"""Evaluate a request without submitting it. This is the dry run, and the first half of requesting access."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

from accounts.models import Identity
from broker.kernel.errors import InvalidInput, NotFound
from broker.kernel.postgresql.rows import Rows
from broker.kernel.text import checked_text
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSetVersion,
    RequestKind,
    Target,
    Workflow,
)
from sessions_app.models.visibility import REQUESTABLE, who_requests
from sessions_app.operations.workflows.errors import BoundToOtherWorkflow
from sessions_app.policy.case import Case
from sessions_app.policy.commands.answers import CompiledSet, CompileError
from sessions_app.policy.decision import Decision, Outcome
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.evaluate import evaluate
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.starts import begins_at
from sessions_app.policy.steps import Step
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.case import case_of_draft
from sessions_app.queries.requests.preview import Preview
from sessions_app.queries.workflows.workflows import workflow_for

MAX_TICKET = 200
FARTHEST = dt.timedelta(days=3660)


class NotRequestable(NotFound):
    """The cluster, command set or policy does not exist, or you can't request it."""

    code = "nothing_to_ask_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request for access, by names.

    ``duration`` is in seconds. ``targets`` None means all targets of the cluster.

    ``workflow`` is the reference of the workflow that the access is for. Access ends when the workflow ends.
    ``once`` identifies one submission of a form, so that a repeated submission creates only one request.
    """

    cluster: str
    command_set: str
    duration: int
    policy: str | None = None
    starts_at: dt.datetime | None = None
    reason: str = ""
    ticket: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] | None = None
    kind: str = RequestKind.PLANNED
    workflow: str | None = None
    once: str = ""


def check_request(*, requester: Identity, ask: NewRequest, now: dt.datetime) -> Preview:
    """Return the outcome that the request would have, with the result of each rule. Changes nothing.

    If several policies cover it, the one with the fewest approvals is used. Raises NotRequestable,
    InvalidInput.
    """
    ask = for_its_workflow(requester, ask)
    _check_form(ask, now)
    cluster = _CLUSTER.first(ask.cluster)
    policies = _policies(requester, ask, cluster) if cluster else []
    if cluster is None or not policies:
        if not ask.cluster or not ask.command_set:
            field, noun = ("command_set", "command set") if ask.cluster else ("cluster", "cluster")
            raise NotRequestable(f"Choose a {noun}.", fields={field: [f"Choose a {noun}."]})
        raise NotRequestable(
            f"You can't request {ask.command_set} on {ask.cluster}.",
            hint=(
                "Choose one of the clusters and command sets offered to you, or ask an administrator for"
                " access."
            ),
        )
    version = commands.published_version(ask.command_set)
    if version is None:
        raise NotRequestable(
            f"{ask.command_set} has no published version.",
            hint="An administrator must publish a version first.",
        )
    targets = _targets(cluster, ask.targets)
    workflow = workflow_for(requester, ask.workflow) if ask.workflow else None
    # If the workflow does not exist, the rules report the error in its reference.
    named = workflow.ref if workflow else ask.workflow or ""
    wanted = {
        "kind": ask.kind,
        "requester": requester,
        "cluster": cluster,
        "command_set_version": version,
        "workflow": workflow,
        "parameters": _bound(version, ask, workflow),
        "targets": [target.pk for target in targets],
        "starts_at": ask.starts_at,
        "duration": ask.duration,
        "reason": ask.reason.strip(),
        "ticket": ask.ticket.strip(),
    }
    cases: list[tuple[AccessRequest, Case]] = []
    for policy, document in policies:
        draft = AccessRequest(
            policy=policy, policy_version=policy.version, terms=facts.terms_of(document), **wanted
        )
        like = cases[0][1] if cases else None
        case = case_of_draft(
            draft, document, targets, now, named=named, offering=True, like=like, may_request=True
        )
        cases.append((draft, case))
    return min((_preview(draft, case, targets, now) for draft, case in cases), key=_cost)


def for_its_workflow(requester: Identity, ask: NewRequest) -> NewRequest:
    """Return the request with the workflow that the requester's token is bound to, if any.

    Raises BoundToOtherWorkflow if the request names another workflow.
    """
    if not requester.bound_to:
        return ask
    if ask.workflow not in (None, "", requester.bound_to):
        raise BoundToOtherWorkflow(
            f"This token is bound to {requester.bound_to}, so it can't request access for {ask.workflow}.",
            hint="Remove the workflow from the request.",
            fields={"workflow": [f"Must be {requester.bound_to}."]},
        )
    return replace(ask, workflow=requester.bound_to)


_POLICIES = Rows(
    AccessPolicy,
    tail=f"""
JOIN sessions_app_accesspolicy_command_sets allows ON allows.accesspolicy_id = sessions_app_accesspolicy.id
JOIN sessions_app_commandset allowed ON allowed.id = allows.commandset_id
WHERE allowed.name = %s AND sessions_app_accesspolicy.name = coalesce(%s, sessions_app_accesspolicy.name)
  AND sessions_app_accesspolicy.id IN ({REQUESTABLE})
ORDER BY sessions_app_accesspolicy.name
""",
)


def _policies(
    requester: Identity, ask: NewRequest, cluster: Cluster
) -> list[tuple[AccessPolicy, PolicyDocument]]:
    """Return the policies under which the requester can request the command set on the cluster."""
    return _readable(_POLICIES(ask.command_set, ask.policy or None, *who_requests(requester, cluster.pk)))


def _readable(policies: list[AccessPolicy]) -> list[tuple[AccessPolicy, PolicyDocument]]:
    """Return the readable policies. An unreadable policy must not hide others.

    Raises Unreadable if none is readable.
    """
    broken: facts.Unreadable | None = None
    kept = []
    for policy in policies:
        try:
            kept.append((policy, facts.policy_document(policy)))
        except facts.Unreadable as error:
            broken = error
    if broken and not kept:
        raise broken
    return kept


def _check_form(ask: NewRequest, now: dt.datetime) -> None:
    """Reject values that no rule could evaluate. These limits are far above those of any policy."""
    checked_text(ask.reason, field="reason")
    checked_text(ask.ticket, field="ticket", longest=MAX_TICKET)
    if ask.kind not in RequestKind.values:
        raise InvalidInput(
            "Unknown kind of request.",
            fields={"kind": [f"Use one of: {', '.join(RequestKind.values)}."]},
        )
    if type(ask.duration) is not int or abs(ask.duration) > FARTHEST.total_seconds():
        raise InvalidInput(
            "The duration is not valid.", fields={"duration": ["Must be a whole number of seconds."]}
        )
    if ask.starts_at is not None and (ask.starts_at.tzinfo is None or abs(ask.starts_at - now) > FARTHEST):
        raise InvalidInput(
            "The start is not valid.",
            fields={"starts_at": ["Use a date within a few years, with a time zone."]},
        )
    if not all(isinstance(part, str) for pair in ask.parameters.items() for part in pair):
        raise InvalidInput(
            "The parameters are not valid.", fields={"parameters": ["Names and values must be text."]}
        )


def _bound(version: CommandSetVersion, ask: NewRequest, workflow: Workflow | None) -> dict[str, str]:
    """Return the parameters, including those that the command set takes from the workflow.

    If the request gives values for these, they must match the workflow's.

    Raises InvalidInput if no workflow is named, if the workflow lacks the fact, or if the given value
    differs.
    """
    taken = {
        name: (fact, workflow.fact(fact) if workflow else "")
        for name, fact in facts.workflow_parameters(version).items()
    }
    for name, (fact, value) in taken.items():
        if workflow is None:
            raise InvalidInput(
                f"{name} comes from the workflow, but the request names no open workflow.",
                hint="Name an open incident, change, ticket, task or pipeline run.",
                fields={
                    "workflow": ["Required."],
                    f"parameters.{name}": ["The value comes from the workflow."],
                },
            )
        if not value:
            raise InvalidInput(
                f"{name} comes from {workflow.ref}, which has no {fact}.",
                hint="Name another workflow, or choose another command set.",
                fields={f"parameters.{name}": [f"{workflow.ref} has no {fact}."]},
            )
        if ask.parameters.get(name, value) != value:
            raise InvalidInput(
                (
                    f"{name} comes from {workflow.ref}, where it is {value}."
                    if fact not in ("id", "ref")
                    else f"{name} comes from the workflow, where it is {value}."
                ),
                hint=f"Use {value}, or name the workflow that has this value.",
                fields={f"parameters.{name}": [f"Must be {value}."]},
            )
    return {**ask.parameters, **{name: value for name, (_, value) in taken.items()}}


_CLUSTER = Rows(
    Cluster, tail="WHERE sessions_app_cluster.name = %s AND sessions_app_cluster.removed_at IS NULL"
)
_TARGETS = Rows(
    Target,
    tail="""
WHERE sessions_app_target.cluster_id = %s AND sessions_app_target.removed_at IS NULL
ORDER BY sessions_app_target.name
""",
)


def _targets(cluster: Cluster, names: tuple[str, ...] | None) -> list[Target]:
    live = {target.name: target for target in _TARGETS(cluster.pk)}
    if names is None:
        return list(live.values())
    if unknown := [name for name in names if name not in live]:
        raise InvalidInput(
            f"Unknown target on {cluster.name}: {', '.join(unknown)}.",
            hint=f"Its targets are: {', '.join(live) or 'none'}.",
            fields={"targets": [f"Unknown: {', '.join(unknown)}"]},
        )
    return [live[name] for name in dict.fromkeys(names)]


def _preview(draft: AccessRequest, case: Case, targets: list[Target], now: dt.datetime) -> Preview:
    decision = evaluate(case, Step.REQUEST)
    workflow = draft.workflow
    starts_at = begins_at(now, asked=draft.starts_at, workflow=workflow.starts_at if workflow else None)
    ends_at = starts_at + dt.timedelta(seconds=draft.duration)
    draft.vouched = case.vouched
    draft.lapses_at = _lapses_at(draft, case.policy, ends_at, now)
    draft.digest = facts.scope_of(draft, targets).digest()
    return Preview(
        case=case,
        decision=decision,
        draft=draft,
        policy=draft.policy,
        cluster=draft.cluster,
        version=draft.command_set_version,
        workflow=workflow,
        parameters=draft.parameters,
        targets=tuple(targets),
        compiled=_compiled(draft, decision),
        starts_at=starts_at,
        ends_at=ends_at,
        starts_later=starts_at > now,
        lapses_at=draft.lapses_at,
        digest=draft.digest,
    )


def _lapses_at(
    draft: AccessRequest, document: PolicyDocument, ends_at: dt.datetime, now: dt.datetime
) -> dt.datetime:
    """Return when the request expires, which is no later than the end of the requested time or of the
    workflow.
    """
    limits = [now + dt.timedelta(seconds=document.decision_time)]
    if draft.starts_at:
        limits.append(ends_at)
    if draft.workflow and draft.workflow.ends_at and draft.workflow.ends_at > now:
        limits.append(draft.workflow.ends_at)
    return min(limits)


def _compiled(draft: AccessRequest, decision: Decision) -> CompiledSet:
    compiled = _filled(draft.command_set_version, draft.parameters, decision)
    if why := compiled.off_limits(draft.cluster.connection):
        raise InvalidInput(
            f"The command set {why}. No grant can include this command set.",
            hint="Use other values, or choose another command set.",
            fields={f"parameters.{name}": [f"The command set {why}."] for name in draft.parameters},
        )
    return compiled


def _filled(version: CommandSetVersion, parameters: dict[str, str], decision: Decision) -> CompiledSet:
    try:
        return commands.compiled(version, parameters)
    except DocumentError as error:
        raise facts.Unreadable(
            f"The command set {version.command_set.name} can't be read, so it allows nothing.",
            hint="An administrator must publish it again.",
        ) from error
    except CompileError as error:
        # Also report what the rules deny, so that the requester can fix several problems together.
        fields = {**error.fields, **decision.faults}
        raise InvalidInput(str(error), fields=fields, moments=decision.moments) from error


def _cost(preview: Preview) -> tuple[int, int, str]:
    order = (Outcome.STARTS, Outcome.NEEDS_APPROVAL, Outcome.REFUSED)
    needed = sum(clause.count for clause in preview.decision.clauses)
    refusals = len(preview.decision.refusals)
    return order.index(preview.decision.outcome), refusals or needed, preview.policy.name
