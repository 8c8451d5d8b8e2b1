"""The facts that rules and counts need, read from the database right before they are used."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog
from django.db.models import Max

from accounts.mailboxes import folded
from accounts.models import Identity
from accounts.queries import (
    UNKNOWN,
    group_names,
    groups_of_people,
    persons_of,
    same_person,
)
from broker.kernel.errors import StintError
from sessions_app.connectors.registry import commands_of
from sessions_app.models import (
    OWN,
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSetVersion,
    Grant,
    Lease,
    RequestKind,
    Sweeper,
    Target,
    TrustPolicy,
    Workflow,
    WorkflowState,
)
from sessions_app.policy import evaluate
from sessions_app.policy.evaluate import clauses_for
from sessions_app.policy.policies import Clause, PolicyDocument, Terms
from sessions_app.policy.rules import Ask, Facts, WorkflowFacts
from sessions_app.policy.scope import Scope, TargetFacts
from sessions_app.policy.trust import TrustPolicyDocument
from sessions_app.policy.widening import within_terms
from sessions_app.queries.doings import doing_of, people_by

log = structlog.get_logger(__name__)


class Unreadable(StintError):
    """A stored row can't be read, so nothing is allowed by it."""

    code = "unreadable"
    status = 500


def policy_document(policy: AccessPolicy) -> PolicyDocument:
    """Return the checked document of a stored policy. Raises Unreadable."""
    try:
        return _checked(json.dumps(policy.document))
    except ValueError as error:
        raise Unreadable(
            f"The policy {policy.name} can't be read, so it allows nothing.",
            hint="An administrator must apply its file again.",
        ) from error


@functools.lru_cache(maxsize=512)
def _checked(text: str) -> PolicyDocument:
    """Return the document in a text. The cache key is the text itself, so any change in a row is checked again."""
    return PolicyDocument.model_validate(json.loads(text))


def terms_of(document: PolicyDocument) -> dict[str, Any]:
    """Return the terms of a policy as a request stores them."""
    return document.terms.model_dump(mode="json", exclude_none=True)


def approved_document(of: AccessRequest | Grant) -> PolicyDocument:
    """Return the document of a policy, with terms no wider than those that were requested and approved.

    Raises Unreadable.
    """
    request = of.request if isinstance(of, Grant) else of
    return within_terms(policy_document(of.policy), Terms.model_validate(request.terms))


def trust_document(policy: TrustPolicy) -> TrustPolicyDocument:
    """Return the checked document of a stored trust policy. Raises Unreadable."""
    try:
        return TrustPolicyDocument.model_validate(policy.document)
    except ValueError as error:
        raise Unreadable(
            f"The trust policy {policy.name} can't be read, so it accepts no tokens.",
            hint="An administrator must apply its file again.",
        ) from error


def readable_document(policy: AccessPolicy) -> PolicyDocument | None:
    """Return the document of a policy; None if it can't be read. Such a policy allows nothing, but must not break a
    page.
    """
    try:
        return policy_document(policy)
    except Unreadable:
        log.exception("policy.unreadable", policy=policy.name)
        return None


def sweeper_silence(now: dt.datetime) -> float | None:
    """Return the seconds since a sweeper last ran; None if none ever did."""
    seen = Sweeper.objects.aggregate(seen=Max("seen_at"))["seen"]
    return None if seen is None else max(0.0, (now - seen).total_seconds())


def facts_for(
    *,
    policy: AccessPolicy,
    document: PolicyDocument,
    requester: Identity,
    cluster: Cluster,
    version: CommandSetVersion | None,
    targets: Sequence[Target],
    now: dt.datetime,
    workflow: Workflow | None = None,
) -> Facts:
    """Return the facts for one evaluation. ``workflow`` is the one that the access would be bound to."""
    return Facts(
        now=now,
        requester_enabled=Identity.objects.active().filter(pk=requester.pk).exists(),
        may_request=AccessPolicy.objects.requestable_by(requester, cluster.pk).filter(pk=policy.pk).exists(),
        policy_live=policy.removed_at is None,
        cluster_live=cluster.removed_at is None,
        command_set_published=version is not None and version.command_set.removed_at is None,
        targets_live=bool(targets)
        and all(t.removed_at is None and t.cluster_id == cluster.pk for t in targets),
        sweeper_silence=sweeper_silence(now),
        overdue_reviews=overdue_reviews(requester, now),
        approvers=groups_of_people(document.approver_groups, but=[requester]),
        **named_workflow(workflow, requester, cluster, now),
        is_person=requester.is_person,
        is_known=UNKNOWN not in persons_of(requester),
        kinds_fit=version is not None and version.command_set.kind == commands_of(cluster.kind),
    )


def named_workflow(
    workflow: Workflow | None, requester: Identity, cluster: Cluster, now: dt.datetime
) -> dict[str, Any]:
    """Return the facts of the named workflow that rules need, read again."""
    found = (
        Workflow.objects.select_related("source", "opened_by__owner").filter(pk=workflow.pk)
        if workflow
        else ()
    )
    for one in found:
        is_open = one.state == WorkflowState.OPEN and (one.source is None or one.source.removed_at is None)
        return {
            "workflow_open": is_open,
            "workflow_on_cluster": is_open and one.clusters.filter(pk=cluster.pk).exists(),
            "workflow": workflow_facts(one, requester, now),
        }
    return {}


def workflow_facts(workflow: Workflow, requester: Identity, now: dt.datetime) -> WorkflowFacts:
    """Return a workflow as the rules see it for one requester."""
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


def roles_in(workflow: Workflow, identity: Identity) -> frozenset[str]:
    """Return an identity's roles in a workflow.

    People that a source names are matched by email address, or by username if the source's document says so. A machine
    matches nobody, and neither does an address that its owner has not confirmed.
    """
    by = people_by(workflow.source) if workflow.source else "email"
    confirmed = "" if identity.email_unconfirmed else identity.email
    spelled = folded(confirmed if by == "email" else identity.username)
    named = {
        "assignee": bool(spelled) and identity.is_person and spelled in map(folded, workflow.assigned),
        "on_call": bool(spelled) and identity.is_person and spelled in map(folded, workflow.on_call),
    }
    own = {
        "assignee": workflow.assignee_id == identity.pk,
        "member": identity.pk in (workflow.assignee_id, workflow.opened_by_id)
        or workflow.members.filter(pk=identity.pk).exists(),
    }
    found = {role for roles in (named, own) for role, holds in roles.items() if holds}
    return frozenset(found | ({"member"} if found else set()))


def overdue_reviews(identity: Identity, now: dt.datetime) -> tuple[str, ...]:
    """Return the references of grants that started without approval and whose review is overdue, oldest first. All
    accounts of the person count.
    """
    overdue = Grant.objects.filter(
        holder__in=Identity.objects.filter(same_person(identity)),
        reviewed_at__isnull=True, review_due_at__lte=now,
    )  # fmt: skip
    return tuple(overdue.order_by("review_due_at", "pk").values_list("ref", flat=True))


def ask_of(request: AccessRequest, *, named: str = "") -> Ask:
    """Return a request, stored or not, as the rules see it when it is submitted.

    ``named`` is the given reference if that workflow does not exist: the rules report what is wrong with it.
    """
    workflow = request.workflow.ref if request.workflow else named
    return Ask(
        requester=request.requester.username,
        requester_groups=group_names(request.requester),
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


def ask_now(request: AccessRequest, now: dt.datetime) -> Ask:
    """Return a pending request as the rules see it now. A start that has passed means "at once"."""
    started = request.starts_at is not None and request.starts_at <= now
    duration = request.duration
    if request.workflow is not None and request.workflow.ends_at is not None:
        # Waiting for a verdict may have used up part of the workflow's planned time, and the grant ends with it.
        begins = max(now, request.starts_at or now, request.workflow.starts_at or now)
        left = int((request.workflow.ends_at - begins).total_seconds())
        duration = min(duration, max(left, 1))
    return replace(ask_of(request), duration=duration, starts_at=None if started else request.starts_at)


def review_within(request: AccessRequest) -> int | None:
    """Return the seconds within which someone else must review the access; None if people or the policy approve it."""
    own = not doing_of(request.requester, request.workflow).is_others
    return evaluate.review_within(
        policy_document(request.policy),
        break_glass=request.kind == RequestKind.BREAK_GLASS,
        own_incident=own and request.kind == RequestKind.INCIDENT,
    )


def why_not_vouched(request: AccessRequest, grant: Grant) -> str:
    """Return why the workflow of a grant may now be its holder's own doing, as a sentence without its period, if the
    grant began by it without approvals or a review; empty if it does not matter, or is known to be another person's.
    """
    by_incident = request.kind == RequestKind.INCIDENT and not request.approvals.exists()
    if request.workflow is None or not (request.vouched or by_incident) or grant.review_due_at is not None:
        return ""
    doing = doing_of(request.requester, request.workflow)
    return "" if doing.is_others else doing.said(request.workflow.ref, str(request.requester))


def clauses_of(request: AccessRequest, document: PolicyDocument) -> tuple[Clause, ...]:
    """Return the approvals that the policy requires for a request of this kind. An extension has its own terms."""
    terms = document.workflow
    return clauses_for(
        document,
        break_glass=request.kind == RequestKind.BREAK_GLASS,
        incident=request.kind == RequestKind.INCIDENT,
        vouched=request.vouched and terms is not None and terms.approvals == "none",
    )


def targets_of(request: AccessRequest) -> list[Target]:
    """Return the targets of a request that still exist."""
    return list(Target.objects.live().filter(pk__in=request.targets).order_by("name"))


def target_facts(target: Target) -> TargetFacts:
    """Return the facts of a target that an approval is bound to."""
    return TargetFacts(
        id=target.pk,
        name=target.name,
        address=target.address,
        port=target.port,
        account=target.account,
        host_key=target.host_key,
    )


def login_of(cluster: Cluster) -> dict[str, Any]:
    """Return what a lease stores about logging in to its target, because the cluster's login may change later."""
    return {"connection": cluster.connection, "sealed_connection": cluster.sealed_connection}


def lease_facts(lease: Lease) -> TargetFacts:
    """Return a target as it was when its lease was created: what was left there is nowhere else."""
    return TargetFacts(
        id=lease.target_id,
        name=lease.target.name,
        address=lease.address,
        port=lease.port,
        account=lease.account,
        host_key=lease.host_key,
    )


def scope_of(request: AccessRequest, targets: Sequence[Target] | None = None) -> Scope:
    """Return the exact scope of a request from the current rows behind it. Its digest shows whether anything changed.

    ``targets`` are those of ``targets_of(request)``, if they were just read.
    """
    return Scope(
        requester=request.requester.username,
        kind=request.kind,
        cluster=request.cluster.name,
        host_ca=request.cluster.host_ca,
        command_set=request.command_set_version.command_set.name,
        command_set_version=request.command_set_version.number,
        command_set_digest=request.command_set_version.digest,
        parameters=request.parameters,
        targets=[target_facts(one) for one in (targets_of(request) if targets is None else targets)],
        starts_at=request.starts_at,
        duration=request.duration,
        extends=request.extends.ref if request.extends else None,
        parent=request.parent.ref if request.parent else None,
        workflow=request.workflow.ref if request.workflow else None,
        workflow_facts=bound_facts(request.workflow, request.command_set_version) if request.workflow else {},
        connection=request.cluster.connection,
        terms=request.terms,
    )


def bound_facts(workflow: Workflow, version: CommandSetVersion) -> dict[str, str]:
    """Return the facts of the workflow that an approval is bound to: its planned time, and those that commands are
    bound to.
    """
    times = {"starts_at": workflow.starts_at, "ends_at": workflow.ends_at}
    found = {name: moment.astimezone(dt.UTC).isoformat() for name, moment in times.items() if moment}
    for fact in workflow_parameters(version).values():
        # The reference and the id at the source identify the workflow, which is in the scope anyway.
        if fact not in ("id", "ref"):
            found[f"workflow.{fact}"] = workflow.fact(fact)
    return found


def workflow_parameters(version: CommandSetVersion) -> dict[str, str]:
    """Return the parameters of a command set that come from the workflow: a mapping from their names to its facts."""
    listed = version.document.get("parameters") or {}
    taken = {name: (type_ or {}).get("from") for name, type_ in listed.items()}
    return {name: source.removeprefix("workflow.") for name, source in taken.items() if source}
