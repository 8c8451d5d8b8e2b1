"""Load a case: all data on which the evaluation of a request or a grant depends, read right before the
evaluation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from accounts.models import Identity
from accounts.queries import UNKNOWN, enabled_and_groups, groups_of_people, persons_of, same_person
from broker.kernel.postgresql.rows import Rows
from sessions_app.connectors.registry import commands_of
from sessions_app.models import (
    OWN,
    AccessRequest,
    Grant,
    RequestKind,
    RequestState,
    Target,
    Workflow,
    WorkflowState,
)
from sessions_app.models.request import URGENT_KINDS
from sessions_app.models.visibility import may_request_under
from sessions_app.policy.case import Case
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.rules import Ask, Facts, GrantFacts, WorkflowFacts
from sessions_app.queries.requests.deciders import counted_verdicts, read_verdicts
from sessions_app.queries.requests.facts import (
    approved_document,
    scope_of,
    sweeper_silence,
    targets_of,
)
from sessions_app.queries.workflows.doings import doing_of, roles_in
from sessions_app.queries.workflows.workflows import fitting, open_workflows, takes

MOST_OFFERED = 3


def case_of_draft(
    draft: AccessRequest,
    document: PolicyDocument,
    targets: Sequence[Target],
    now: dt.datetime,
    *,
    named: str = "",
    offering: bool = False,
    like: Case | None = None,
    may_request: bool | None = None,
) -> Case:
    """Return the case of a request that is not stored, under this document.

    ``named`` is the given reference if that workflow does not exist; the rules then report the error in the
    reference. With ``offering``, open workflows that the policy would accept are looked up if the policy
    requires another one. ``like`` is the case of the same request under another policy; values that do not
    depend on the policy are taken from it. ``may_request`` is whether the requester can request access under
    this policy, if the caller has just read that.
    """
    ask, facts = (like.ask, like.facts) if like else _requested(draft, targets, now, named=named)
    facts = _under(document, draft, facts, may_request=may_request, asked=True)
    return Case(
        policy=document,
        version=draft.policy_version,
        ask=ask,
        facts=replace(facts, fitting=_offered_workflows(draft, document)) if offering else facts,
    )


def case_of_request(request: AccessRequest, targets: Sequence[Target], now: dt.datetime) -> Case:
    """Return the case of a pending request. ``targets`` are the request's targets that still exist. Raises
    Unreadable.

    A start time in the past means an immediate start. The grant ends with the workflow's planned time,
    part of which may have passed while the request waited for a verdict.
    """
    duration, workflow = request.duration, request.workflow
    if workflow is not None and workflow.ends_at is not None:
        begins = max(now, request.starts_at or now, workflow.starts_at or now)
        duration = min(duration, max(int((workflow.ends_at - begins).total_seconds()), 1))
    passed = request.starts_at is not None and request.starts_at <= now
    ask, facts = _requested(request, targets, now)
    ask = replace(ask, duration=duration, starts_at=None if passed else request.starts_at)
    return _stored(request, ask, facts, asked=True)


def case_of_grant(
    grant: Grant,
    now: dt.datetime,
    *,
    extension: int | None = None,
    deciding: AccessRequest | None = None,
) -> Case:
    """Return the case of a grant, or of its extension by this many seconds. Raises Unreadable.

    ``deciding`` is the request for the extension, if it is already stored.
    """
    request, decided = _request_of(grant)
    targets = targets_of(request)
    unchanged = scope_of(request, targets).digest() == request.digest
    # Evaluated for the grant's time, not for now, so that a start that is slightly late still fits its
    # window, and a reduced duration counts as reduced. An extension is not part of the original request.
    span = min(request.duration, int((grant.expires_at - grant.starts_at).total_seconds()))
    starts_at = grant.expires_at - dt.timedelta(seconds=span)
    ask, facts = _read(request, targets, now)
    ask = replace(ask, starts_at=starts_at, duration=span, extension=extension)
    case = _stored(request, ask, facts)
    # An extension that needs approval has its own approvals.
    anew = extension is not None and bool(case.policy.extension_clauses)
    others = () if extension is None else _extensions(grant, deciding)
    found = GrantFacts(
        ref=grant.ref,
        holder=str(request.requester),
        expires_at=grant.expires_at,
        digest=request.digest,
        unchanged=unchanged,
        verdicts=tuple(counted_verdicts(request)) if case.clauses and not anew else (),
        by_workflow=request.workflow is not None and (request.vouched or (case.is_incident and not decided)),
        reviewed=grant.review_due_at is not None,
        delegated=grant.parent_id is not None,
        extended=others.count(RequestState.APPROVED),
        waiting=RequestState.PENDING in others,
    )
    return replace(case, facts=replace(case.facts, grant=found))


_REQUESTS = Rows(
    AccessRequest,
    "requester__owner",
    "cluster",
    "policy",
    "command_set_version__command_set",
    "workflow",
    "extends",
    "parent",
    tail="WHERE sessions_app_accessrequest.id = %s",
)


def _request_of(grant: Grant) -> tuple[AccessRequest, bool]:
    """Return the request of a grant, with the necessary related rows, and whether anyone gave a verdict on
    it.
    """
    (found,) = _REQUESTS(grant.request_id)
    read_verdicts(found)
    return found, bool(found.approvals.all())


def _extensions(grant: Grant, deciding: AccessRequest | None) -> tuple[str, ...]:
    """Return the states of the approved and pending extensions of a grant, except the extension that is being
    decided.
    """
    found = grant.extensions.filter(state__in=[RequestState.APPROVED, RequestState.PENDING])
    if deciding is not None:
        found = found.exclude(pk=deciding.pk)
    return tuple(found.values_list("state", flat=True))


def _stored(request: AccessRequest, ask: Ask, facts: Facts, *, asked: bool = False) -> Case:
    document = approved_document(request)
    return Case(
        policy=document,
        version=request.policy.version,
        ask=ask,
        facts=_under(document, request, facts, asked=asked),
        counted=request.vouched,
    )


def _requested(
    request: AccessRequest, targets: Sequence[Target], now: dt.datetime, *, named: str = ""
) -> tuple[Ask, Facts]:
    """Return a request with the facts that only the rules about requests need (`policy/steps.py`)."""
    ask, facts = _read(request, targets, now, named=named)
    overdue = _overdue_reviews(request.requester, now) if request.kind in URGENT_KINDS else None
    return ask, replace(facts, sweeper_silence=sweeper_silence(now), overdue_reviews=overdue)


def _read(
    request: AccessRequest, targets: Sequence[Target], now: dt.datetime, *, named: str = ""
) -> tuple[Ask, Facts]:
    """Return a request, stored or not, in the format that the rules need, and the facts that all rules share.

    All other facts have values that deny.
    """
    enabled, groups = enabled_and_groups(request.requester)
    return _ask(request, groups, named), _facts(request, targets, now, enabled=enabled)


def _ask(request: AccessRequest, groups: frozenset[str], named: str) -> Ask:
    """Return a request, stored or not, in the format that the rules need when it is submitted."""
    workflow = request.workflow.ref if request.workflow else named
    return Ask(
        requester=request.requester.username,
        requester_groups=groups,
        cluster=request.cluster.name,
        command_set=request.command_set_version.command_set.name,
        target_count=len(request.targets),
        duration=request.duration,
        starts_at=request.starts_at,
        reason=request.reason,
        ticket=request.ticket,
        break_glass=request.kind == RequestKind.BREAK_GLASS,
        incident=workflow if request.kind == RequestKind.INCIDENT else None,
        workflow=workflow,
    )


def _facts(request: AccessRequest, targets: Sequence[Target], now: dt.datetime, *, enabled: bool) -> Facts:
    requester, cluster = request.requester, request.cluster
    version, command_set = request.command_set_version, request.command_set_version.command_set
    workflow, is_open, is_there = _workflow(request, now)
    return Facts(
        now=now,
        requester_enabled=enabled,
        may_request=False,
        policy_live=False,
        cluster_live=cluster.removed_at is None,
        command_set_published=version.published_at is not None and command_set.removed_at is None,
        targets_live=bool(targets)
        and all(t.removed_at is None and t.cluster_id == cluster.pk for t in targets),
        sweeper_silence=None,
        overdue_reviews=None,
        approvers=None,
        workflow_open=is_open,
        workflow_on_cluster=is_there,
        workflow=workflow,
        is_person=requester.is_person,
        is_known=UNKNOWN not in persons_of(requester),
        kinds_fit=command_set.kind == commands_of(cluster.kind),
    )


def _under(
    document: PolicyDocument,
    request: AccessRequest,
    facts: Facts,
    *,
    asked: bool,
    may_request: bool | None = None,
) -> Facts:
    """Return the facts, including those that depend on the policy.

    ``asked`` means that a request is being evaluated, which needs approvers.
    """
    policy, requester = request.policy, request.requester
    if may_request is None:
        may_request = may_request_under(policy.pk, requester, request.cluster_id)
    return replace(
        facts,
        may_request=may_request,
        policy_live=policy.removed_at is None,
        approvers=groups_of_people(document.approver_groups, but=[requester]) if asked else None,
    )


def _workflow(request: AccessRequest, now: dt.datetime) -> tuple[WorkflowFacts | None, bool, bool]:
    """Return the facts of the named workflow, read again, whether it is open, and whether it includes the
    cluster.
    """
    if request.workflow_id is None:
        return None, False, False
    read = Workflow.objects.select_related("source", "opened_by__owner")
    found = read.filter(pk=request.workflow_id).first()
    if found is None:
        return None, False, False
    is_open = found.state == WorkflowState.OPEN and (found.source is None or found.source.removed_at is None)
    is_there = is_open and found.clusters.filter(pk=request.cluster_id).exists()
    return _workflow_facts(found, request.requester, now), is_open, is_there


def _workflow_facts(workflow: Workflow, requester: Identity, now: dt.datetime) -> WorkflowFacts:
    """Return a workflow in the format that the rules need for one requester."""
    silence = (now - (workflow.read_at or workflow.opened_at)).total_seconds() if workflow.source else None
    return WorkflowFacts(
        kind=workflow.kind,
        source=workflow.source.name if workflow.source else OWN,
        severity=workflow.severity,
        roles=roles_in(workflow, requester),
        silence=silence,
        doing=doing_of(requester, workflow),
        starts_at=workflow.starts_at,
        ends_at=workflow.ends_at,
    )


def _offered_workflows(draft: AccessRequest, document: PolicyDocument) -> tuple[str, ...]:
    """Return the references of open workflows that a planned request could name if its policy requires
    another one.
    """
    terms = document.workflow
    if terms is None or draft.kind not in (RequestKind.PLANNED, RequestKind.QUICK):
        return ()
    if draft.workflow is not None and takes(terms, draft.workflow):
        return ()
    found = open_workflows(draft.requester, draft.cluster, fitting(terms))
    return tuple(found.values_list("ref", flat=True)[:MOST_OFFERED])


def _overdue_reviews(identity: Identity, now: dt.datetime) -> tuple[str, ...]:
    """Return the references of grants that started without approval and whose review is overdue, oldest
    first. Grants of all the person's accounts count.
    """
    overdue = Grant.objects.filter(
        # Not a list of accounts, for which PostgreSQL would read all of the person's grants.
        same_person(identity, "holder__"),
        reviewed_at__isnull=True,
        review_due_at__lte=now,
    )
    return tuple(overdue.order_by("review_due_at", "pk").values_list("ref", flat=True))
