"""Update a policy to match its document."""

from __future__ import annotations

import datetime as dt

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSet,
    Grant,
)
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.catalog.catalog_rows import plain, policy_data
from sessions_app.operations.catalog.end_without_basis import end_without_basis
from sessions_app.operations.catalog.give_permission import give_permission
from sessions_app.policy.digests import digest_of
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.policies import PolicyDocument, Who
from sessions_app.queries.catalog.unenforceable import unfit
from sessions_app.queries.requests.deciders import why_never_met


def write_policy(document: PolicyDocument, source: str, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Update a policy to match the document.

    Grants that the policy no longer covers end. The plan gets a warning if the policy's approvals can never
    be given.
    """
    if why := why_never_met(document):
        plan.warnings.append(f"policies/{document.name}: {why}")
    policy = AccessPolicy.objects.filter(name=document.name).first()
    data = document.model_dump(mode="json", by_alias=True)
    live = policy is not None and policy.removed_at is None
    if policy and live and policy.digest == digest_of(data):
        return
    _refuse_unfit(document)
    before = policy_data(policy) if policy and live else None
    if policy is None:
        policy = AccessPolicy(name=document.name, version=0, created_at=now)
    policy.version += 1
    policy.summary, policy.source, policy.document, policy.digest = (
        document.summary,
        source,
        data,
        digest_of(data),
    )
    policy.changed_at, policy.removed_at = now, None
    policy.save()
    policy.clusters.set(Cluster.objects.live().filter(name__in=document.clusters))
    policy.command_sets.set(CommandSet.objects.live().filter(name__in=document.command_sets))
    give_permission(policy, "request_accesspolicy", document.requesters)
    give_permission(policy, "view_accesspolicy", document.viewers)
    give_permission(policy, "administer_accesspolicy", document.administrators)
    approvers = document.approver_groups
    give_permission(policy, "approve_accesspolicy", Who(groups=approvers) if approvers else None)
    ends = end_without_basis(Grant.objects.filter(policy=policy), plan, now) if before else ()
    note(plan, "change" if before else "create", "policy", document.name, before, plain(document), ends)
    record(
        event=Event.POLICY_CHANGED if before else Event.POLICY_CREATED,
        actor=actor,
        object_type="policy",
        object_ref=document.name,
        now=now,
        data={"version": policy.version, "digest": policy.digest, "grants_ended": list(ends)},
    )


def _refuse_unfit(document: PolicyDocument) -> None:
    """Reject command sets that include, on any of the policy's clusters, a role that no grant may have.

    Raises DocumentError.
    """
    sets = CommandSet.objects.live().filter(name__in=document.command_sets).prefetch_related("versions")
    found = unfit([version for one in sets if (version := one.published)], document.clusters)
    if found:
        raise DocumentError([Problem("command_sets", why) for why in found])
