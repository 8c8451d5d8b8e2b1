"""Queries for the endpoints.

Each query starts from what the caller can see, so "not visible" and "not found" get the same response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Prefetch, QuerySet

from accounts.models import APIToken, Identity, SSHPublicKey, answered_for_by
from broker.kernel import clock
from broker.kernel.errors import NotFound
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows, ask, keep
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    Approval,
    Cluster,
    CommandRun,
    CommandSet,
    CommandSetVersion,
    Grant,
    Notice,
    Proposal,
    RequestState,
    Target,
    WebhookEndpoint,
    Workflow,
)
from sessions_app.policy import references
from sessions_app.policy.approval_count import resolve
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.decision import RuleResult
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.notifications.notices import with_outcomes
from sessions_app.queries.requests import deciders, facts
from sessions_app.queries.requests.extents import left_of
from sessions_app.queries.requests.preview import Preview

Row = TypeVar("Row")

# Lists


def requests(identity: Identity) -> QuerySet[AccessRequest]:
    """Return requests that the identity may see."""
    return (
        AccessRequest.objects.visible_to(identity)
        .select_related(
            "requester__owner",
            "cluster",
            "policy",
            "command_set_version__command_set",
            "extends",
            "workflow",
            "grant",
        )
        .prefetch_related(deciders.VERDICTS)
    )


# The columns of a grant's related rows that are shown. Reading all columns would take most of the time of
# a response.
_BESIDE_GRANT = {
    "holder": ["username"],
    "cluster": ["name", "kind", "connection"],
    "policy": ["name"],
    "request": ["number", "digest", "reason", "ticket"],
    "parent": ["ref"],
    "workflow": ["ref"],
    "command_set_version": ["number", "digest"],
    "command_set_version__command_set": ["name"],
    "ended_by": ["username"],
    "held_by": ["username"],
    "reviewed_by": ["username"],
}
_OF_GRANT = [
    *(field.name for field in Grant._meta.concrete_fields),  # noqa: SLF001  # Django's
    *(f"{table}__{name}" for table, names in _BESIDE_GRANT.items() for name in names),
]


def grants(identity: Identity) -> QuerySet[Grant]:
    """Return grants that the identity may see."""
    found = Grant.objects.visible_to(identity).select_related(*_BESIDE_GRANT).only(*_OF_GRANT)
    return found.prefetch_related(Prefetch("targets", Target.objects.only("name")))


def workflows(identity: Identity) -> QuerySet[Workflow]:
    """Return workflows that the identity may see, with those of their clusters that it may see."""
    clusters = Prefetch("clusters", Cluster.objects.visible_to(identity))
    found = Workflow.objects.visible_to(identity).select_related(
        "opened_by", "closed_by", "source", "assignee"
    )
    return found.prefetch_related(clusters)


def runs(identity: Identity) -> QuerySet[CommandRun]:
    """Return command runs that the identity may see."""
    found = CommandRun.objects.visible_to(identity)
    found = found.select_related("grant__holder", "target", "decided_by", "held_commit")
    return found.defer("held_commit__sealed_content")


def clusters(identity: Identity) -> QuerySet[Cluster]:
    """Return clusters that the identity may see."""
    return Cluster.objects.live().visible_to(identity).prefetch_related("targets")


def command_sets(identity: Identity) -> QuerySet[CommandSet]:
    """Return command sets that the identity may see."""
    return CommandSet.objects.live().visible_to(identity).prefetch_related("versions")


def policies(identity: Identity) -> QuerySet[AccessPolicy]:
    """Return policies that the identity may see."""
    return AccessPolicy.objects.live().visible_to(identity)


def proposals(identity: Identity) -> QuerySet[Proposal]:
    """Return proposals for documents that the identity administers."""
    return Proposal.objects.visible_to(identity).select_related("proposed_by", "decided_by")


def identities(identity: Identity) -> QuerySet[Identity]:
    """Return all identities for administrators; for others, the identity itself and the machines that it
    owns.
    """
    found = Identity.objects.select_related("owner").prefetch_related("groups")
    return found if identity.is_superuser else found.filter(answered_for_by(identity))


def keys(identity: Identity) -> QuerySet[SSHPublicKey]:
    """Return the keys of an identity that were not removed."""
    return SSHPublicKey.objects.filter(identity=identity, removed_at__isnull=True)


def tokens(identity: Identity) -> QuerySet[APIToken]:
    """Return the tokens of an identity that were not revoked.

    A token bound to a workflow sees only tokens bound to the same workflow.
    """
    found = APIToken.objects.filter(identity=identity, revoked_at__isnull=True)
    return found.filter(workflow=identity.bound_to) if identity.bound_to else found


# Single objects


def request_of(identity: Identity, ref: str) -> AccessRequest:
    """Return a request by its reference. Raises NotFound."""
    return _one(requests(identity).filter(number=references.request_number(ref)), "request")


def seen_request(identity: Identity, ref: str) -> AccessRequest:
    """Return a request by its reference, with only the columns that identify it: the operation reads the
    rest.

    Raises NotFound.
    """
    found = AccessRequest.objects.visible_to(identity).filter(number=references.request_number(ref))
    return _one(found.only("targets", "cluster"), "request")


def any_request(ref: str) -> int:
    """Return the id of a request, even if the caller can't see it; 0 if there is none.

    Use this only for operations that then look for the request among those visible to the caller.
    """
    number = references.request_number(ref)
    found = ask("SELECT id FROM sessions_app_accessrequest WHERE number = %s", number)
    return sum(pk for (pk,) in found)


def any_grant(ref: str) -> int:
    """Return the id of a grant, like ``any_request``."""
    return sum(pk for (pk,) in ask("SELECT id FROM sessions_app_grant WHERE ref = %s", ref))


def id_of_grant(identity: Identity, ref: str) -> int:
    """Return the id of a grant by its reference: the operation reads the rest. Raises NotFound."""
    return _one(Grant.objects.visible_to(identity).filter(ref=ref).values_list("pk", flat=True), "grant")


_GRANT = Rows(Grant, *_BESIDE_GRANT, only=_OF_GRANT, tail="WHERE sessions_app_grant.id = %s")
_TARGETS_OF = Rows(
    Target,
    only=["name"],
    tail="JOIN sessions_app_grant_targets ON target_id = sessions_app_target.id WHERE grant_id = %s",
)


def grant_of(identity: Identity, ref: str) -> Grant:
    """Return a grant by its reference. Raises NotFound."""
    return _grant(id_of_grant(identity, ref))


def grant_after(act: Grant) -> Grant:
    """Return a grant on which the caller has just acted: only identities that can see a grant can act
    on it.
    """
    return _grant(act.pk)


def _grant(grant_id: int) -> Grant:
    grant = _GRANT.first(grant_id)
    if grant is None:
        raise NotFound("Grant not found.")
    keep(grant.targets, _TARGETS_OF(grant.pk))
    return grant


def webhooks(identity: Identity) -> QuerySet[WebhookEndpoint]:
    """Return webhooks that the identity owns; all for administrators."""
    return WebhookEndpoint.objects.live().visible_to(identity)


def webhook_of(identity: Identity, name: str) -> WebhookEndpoint:
    """Return a webhook by name. Raises NotFound."""
    return _one(webhooks(identity).filter(name=name), "webhook")


def workflow_of(identity: Identity, ref: str) -> Workflow:
    """Return a workflow by its reference. Raises NotFound."""
    return _one(workflows(identity).filter(ref=ref), "workflow")


def run_of(identity: Identity, run_id: int) -> CommandRun:
    """Return a command run. Raises NotFound."""
    return _one(runs(identity).filter(pk=run_id), "command run")


def cluster_of(identity: Identity, name: str) -> Cluster:
    """Return a cluster by name. Raises NotFound."""
    return _one(clusters(identity).filter(name=name), "cluster")


def command_set_of(identity: Identity, name: str) -> CommandSet:
    """Return a command set by name. Raises NotFound."""
    return _one(command_sets(identity).filter(name=name), "command set")


def version_of(identity: Identity, name: str, number: int | None) -> CommandSetVersion:
    """Return a version; without a number, the newest published version. Only administrators see drafts.
    Raises NotFound.
    """
    found = CommandSetVersion.objects.select_related("command_set", "created_by", "published_by").filter(
        command_set__in=CommandSet.objects.live().visible_to(identity), command_set__name=name
    )
    if number is not None:
        found = found.filter(number=number)
    if number is None or not identity.is_superuser:
        found = found.filter(published_at__isnull=False)
    return _one(found.order_by("-number"), "version of a command set")


def policy_of(identity: Identity, name: str) -> AccessPolicy:
    """Return a policy by name. Raises NotFound."""
    return _one(policies(identity).filter(name=name), "policy")


def proposal_of(identity: Identity, proposal_id: int) -> Proposal:
    """Return a proposal. Raises NotFound."""
    return _one(proposals(identity).filter(pk=proposal_id), "proposal")


def identity_of(identity: Identity, username: str) -> Identity:
    """Return an identity by username. Raises NotFound."""
    return _one(identities(identity).filter(username=username), "identity")


def notice_of(identity: Identity, notice_id: int) -> Notice:
    """Return one of the identity's own notifications. Raises NotFound."""
    return _one(
        with_outcomes(Notice.objects.visible_to(identity), identity, clock.now()).filter(pk=notice_id),
        "notice",
    )


@prepared()
def _one(found: QuerySet[Any, Row], what: str) -> Row:
    # Not `first`, which would sort them, although the key of these rows is unique.
    thing = next(iter(found[:1]), None)
    if thing is None:
        raise NotFound(f"{what.capitalize()} not found.")
    return thing


# What approvers need


@dataclass(frozen=True, slots=True)
class Needed:
    """One clause of the policy, the number of missing approvals, and the people who can give them."""

    count: int
    groups: tuple[str, ...]
    missing: int
    approvers: list[str]


@dataclass(frozen=True, slots=True)
class RequestDetail:
    """One request with everything its approvers need."""

    request: AccessRequest
    targets: list[str]
    target_names: dict[int, str]
    commands: Sequence[CommandView]
    targets_left: list[str]
    commands_left: list[int]
    approvals: list[Approval]
    needed: list[Needed]
    changed: bool
    why_not: str


_TARGETS = Rows(Target, tail="WHERE sessions_app_target.id = ANY(%s) ORDER BY sessions_app_target.name")


@prepared()
def detail_of(request: AccessRequest, identity: Identity) -> RequestDetail:
    """Return the request as its approvers see it."""
    deciders.read_verdicts(request)
    every = _TARGETS(request.targets)
    targets, left = [target for target in every if target.removed_at is None], left_of(request)
    clauses = facts.clauses_of(request, facts.policy_document(request.policy))
    waits = request.state == RequestState.PENDING
    verdicts = deciders.counted_verdicts(request)
    missing = resolve(clauses=clauses, verdicts=verdicts, digest=request.digest).missing
    return RequestDetail(
        request=request,
        targets=[target.name for target in targets],
        target_names={target.pk: target.name for target in every},
        commands=describe(commands.asked(request)),
        targets_left=[target.name for target in targets if target.pk in left.targets],
        commands_left=sorted(left.commands),
        approvals=sorted(request.approvals.all(), key=lambda approval: approval.pk),
        needed=[
            Needed(
                clause.count,
                clause.groups,
                lacks if waits else 0,
                _names(deciders.eligible_approvers(clause, request.requester)),
            )
            for clause, lacks in zip(clauses, missing, strict=True)
        ],
        changed=waits and facts.scope_of(request, targets).digest() != request.digest,
        why_not=deciders.may_not_decide(request, identity)
        if waits
        else f"The proposal is already {request.state}.",
    )


def outcome_of(preview: Preview) -> dict[str, Any]:
    """Return the outcome of a dry run in the format of the API's response."""
    rules: tuple[RuleResult, ...] = preview.decision.results
    return {
        "outcome": preview.decision.outcome.value,
        "policy": preview.policy,
        "cluster": preview.cluster,
        "version": preview.version,
        "rules": rules,
        "needed": [
            Needed(clause.count, clause.groups, clause.count, _names(people))
            for clause, people in preview.approvers
        ],
        "targets": [target.name for target in preview.targets],
        "commands": describe(preview.compiled),
        "starts_at": preview.starts_at,
        "ends_at": preview.ends_at,
        "lapses_at": preview.lapses_at,
        "digest": preview.digest,
        "overlaps": preview.overlaps,
        "others": preview.others,
        "already": preview.already,
    }


def _names(people: Sequence[Identity]) -> list[str]:
    return [person.username for person in people]
