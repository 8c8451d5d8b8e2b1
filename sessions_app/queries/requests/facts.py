"""The documents of policies and the exact scope of requests, read from the database right before they are
used.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Sequence
from typing import Any

import structlog

from broker.kernel.errors import StintError
from broker.kernel.postgresql.rows import Rows, ask
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Cluster,
    CommandSetVersion,
    Grant,
    Lease,
    RequestKind,
    Target,
    TrustPolicy,
    Workflow,
)
from sessions_app.policy.case import clauses_for
from sessions_app.policy.policies import Clause, PolicyDocument, Terms
from sessions_app.policy.scope import Scope, TargetFacts
from sessions_app.policy.trust import TrustPolicyDocument
from sessions_app.policy.widening import within_terms

log = structlog.get_logger(__name__)


class Unreadable(StintError):
    """A stored document can't be read, so it allows nothing. An administrator must apply its file again."""

    code = "unreadable"
    status = 500


def policy_document(policy: AccessPolicy) -> PolicyDocument:
    """Return the validated document of a stored policy. Raises Unreadable."""
    try:
        return _checked(json.dumps(policy.document))
    except ValueError as error:
        raise Unreadable(
            f"The policy {policy.name} can't be read, so it allows nothing.",
            hint="An administrator must apply its file again.",
        ) from error


@functools.lru_cache(maxsize=512)
def _checked(text: str) -> PolicyDocument:
    """Return the document in a string.

    The cache key is the text itself, so any changed row is validated again.
    """
    return PolicyDocument.model_validate(json.loads(text))


def document_in(text: str) -> PolicyDocument | None:
    """Return the document in a string; None if it can't be read."""
    try:
        return _checked(text)
    except ValueError:
        log.exception("policy.unreadable")
        return None


def terms_of(document: PolicyDocument) -> dict[str, Any]:
    """Return the terms of a policy in the format that a request stores."""
    return document.terms.model_dump(mode="json", exclude_none=True)


def approved_document(of: AccessRequest | Grant) -> PolicyDocument:
    """Return the document of a policy, with terms no wider than those that were requested and approved.

    Raises Unreadable.
    """
    request = of.request if isinstance(of, Grant) else of
    return within_terms(policy_document(of.policy), Terms.model_validate(request.terms))


def trust_document(policy: TrustPolicy) -> TrustPolicyDocument:
    """Return the validated document of a stored trust policy. Raises Unreadable."""
    try:
        return TrustPolicyDocument.model_validate(policy.document)
    except ValueError as error:
        raise Unreadable(
            f"The trust policy {policy.name} can't be read, so it accepts no tokens.",
            hint="An administrator must apply its file again.",
        ) from error


def readable_document(policy: AccessPolicy) -> PolicyDocument | None:
    """Return the document of a policy; None if it can't be read.

    A policy that can't be read allows nothing, but must not break a page.
    """
    try:
        return policy_document(policy)
    except Unreadable:
        log.exception("policy.unreadable", policy=policy.name)
        return None


def sweeper_silence(now: dt.datetime) -> float | None:
    """Return the seconds since a sweeper last ran; None if none ever has."""
    ((seen,),) = ask("SELECT max(seen_at) FROM sessions_app_sweeper")
    return None if seen is None else max(0.0, (now - seen).total_seconds())


def clauses_of(request: AccessRequest, document: PolicyDocument) -> tuple[Clause, ...]:
    """Return the approvals that the policy requires for a request of this kind.

    Extensions have their own terms.
    """
    return clauses_for(
        document,
        break_glass=request.kind == RequestKind.BREAK_GLASS,
        incident=request.kind == RequestKind.INCIDENT,
        vouched=request.vouched,
    )


_LIVE = Rows(
    Target,
    "cluster",
    tail="""
WHERE sessions_app_target.id = ANY(%s)
  AND sessions_app_target.removed_at IS NULL AND sessions_app_cluster.removed_at IS NULL
ORDER BY sessions_app_target.name
""",
)


def targets_of(request: AccessRequest) -> list[Target]:
    """Return the targets of a request that still exist."""
    return _LIVE(request.targets)


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
    """Return the login data that a lease stores for its target, because the cluster's login may change
    later.
    """
    return {"connection": cluster.connection, "sealed_connection": cluster.sealed_connection}


def lease_facts(lease: Lease) -> TargetFacts:
    """Return a target as it was when its lease was created, because the created access is still at that
    address.
    """
    return TargetFacts(
        id=lease.target_id,
        name=lease.target.name,
        address=lease.address,
        port=lease.port,
        account=lease.account,
        host_key=lease.host_key,
    )


def scope_of(request: AccessRequest, targets: Sequence[Target] | None = None) -> Scope:
    """Return the exact scope of a request from its current rows. The scope's digest shows whether anything
    changed.

    ``targets`` is the result of ``targets_of(request)``, if it was just read.
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
    """Return the facts of the workflow that an approval is bound to: the planned time, and the facts that
    commands use.
    """
    times = {"starts_at": workflow.starts_at, "ends_at": workflow.ends_at}
    found = {name: moment.astimezone(dt.UTC).isoformat() for name, moment in times.items() if moment}
    for fact in workflow_parameters(version).values():
        # The reference and the id at the source identify the workflow, which is part of the scope in any
        # case.
        if fact not in ("id", "ref"):
            found[f"workflow.{fact}"] = workflow.fact(fact)
    return found


def workflow_parameters(version: CommandSetVersion) -> dict[str, str]:
    """Return the parameters of a command set that come from the workflow, as a mapping from parameter name to
    workflow fact.
    """
    listed = version.document.get("parameters") or {}
    taken = {name: (type_ or {}).get("from") for name, type_ in listed.items()}
    return {name: source.removeprefix("workflow.") for name, source in taken.items() if source}
