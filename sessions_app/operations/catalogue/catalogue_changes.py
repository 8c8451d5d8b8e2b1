"""How one document of the catalogue is written, for whole folders and for single pages: the same rows, entries and ends."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db import models
from guardian.shortcuts import assign_perm, get_groups_with_perms, get_users_with_perms, remove_perm

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.queries import last_number
from broker.audit.record import record, rehearsing
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.connectors.registry import find, type_of
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSet,
    EndReason,
    Grant,
    GrantQuerySet,
    GrantState,
    Lease,
    Target,
    TrustPolicy,
    WebhookEndpoint,
    WorkflowSource,
)
from sessions_app.operations.catalogue.catalogue_plan import Action, Change, Plan, note
from sessions_app.operations.catalogue.publish_command_set import NotFitToPublish, publish
from sessions_app.operations.catalogue.save_draft import write_draft
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import why_not_start
from sessions_app.operations.identities.revoke_issued_tokens import revoke_issued_tokens
from sessions_app.operations.notifications.webhook_endpoint import (
    check_address,
    endpoint_data,
    read_secret,
    set_owners,
)
from sessions_app.operations.targets.cluster_connection import (
    read_connection,
    settled,
    shown_connection,
)
from sessions_app.operations.workflows.workflow_sources import read_secrets, shown_document
from sessions_app.policy.catalogue import (
    Catalogue,
    ClusterDocument,
    CommandSetFile,
    GroupDocument,
    SourceDocument,
)
from sessions_app.policy.commands.document import digest as command_set_digest
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.policy.policies import PolicyDocument, Who, digest_of
from sessions_app.policy.webhooks import WebhookDocument
from sessions_app.queries import facts
from sessions_app.queries.deciders import why_never_met
from sessions_app.queries.unfit import unfit

# What a cluster's document gives, by the part that names who gets it.
CLUSTER_PERMISSIONS = {
    "requesters": "request_cluster",
    "approvers": "approve_cluster",
    "viewers": "view_cluster",
    "administrators": "administer_cluster",
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name in a document that means nothing: which document (`policies/web-work`), what it should be, the name."""

    place: str
    what: str
    name: str

    @property
    def message(self) -> str:
        """What is wrong, in words."""
        return f"unknown {self.what} {self.name}"


def unknown_names(catalogue: Catalogue, *, alone: bool = False) -> list[Unknown]:
    """Return every name in the documents that means nothing; with ``alone`` all but identities must stand in them."""
    known = {canonical_username(name) for name in Identity.objects.values_list("username", flat=True)}
    clusters, sets, groups = set(catalogue.clusters), set(catalogue.command_sets), set(catalogue.groups)
    webhooks = set(catalogue.webhooks)
    if not alone:
        webhooks |= set(WebhookEndpoint.objects.live().values_list("name", flat=True))
        clusters |= set(Cluster.objects.live().values_list("name", flat=True))
        sets |= set(CommandSet.objects.live().values_list("name", flat=True))
        groups |= set(Group.objects.values_list("name", flat=True))
    found: list[Unknown] = []

    def check(place: str, what: str, names: Iterable[str], among: set[str]) -> None:
        spelled = canonical_username if what == "identity" else str
        found.extend(Unknown(place, what, name) for name in names if spelled(name) not in among)

    for group in catalogue.groups.values():
        check(f"groups/{group.name}", "identity", group.members, known)
    for source in catalogue.sources.values():
        named = [*source.clusters, *(name for names in source.services.values() for name in names)]
        check(f"workflow-sources/{source.name}", "cluster", dict.fromkeys(named), clusters)
    for place, people in _named_people(catalogue):
        check(place, "identity", people.identities, known)
        check(place, "group", people.groups, groups)
    for policy, _ in catalogue.policies.values():
        place = f"policies/{policy.name}"
        check(place, "webhook", policy.webhooks, webhooks)
        check(place, "cluster", policy.clusters, clusters)
        check(place, "command set", policy.command_sets, sets)
        for who in (policy.requesters, policy.viewers, policy.administrators):
            check(place, "identity", who.identities if who else (), known)
        check(place, "group", policy.groups, groups)
    for trust, _ in catalogue.trust_policies.values():
        check(f"trust-policies/{trust.name}", "identity", [trust.speaks_as], known)
    return found


def _named_people(catalogue: Catalogue) -> Iterator[tuple[str, Who]]:
    """Whom clusters and webhooks name, each with the document that does."""
    for cluster in catalogue.clusters.values():
        for part in CLUSTER_PERMISSIONS:
            if who := getattr(cluster, part):
                yield f"clusters/{cluster.name}", who
    for webhook in catalogue.webhooks.values():
        if webhook.owners:
            yield f"webhooks/{webhook.name}", webhook.owners


def check_names(catalogue: Catalogue, *, alone: bool = False) -> None:
    """Every name that a file uses must mean something; all that do not are told at once. Raises InvalidInput."""
    problems: dict[str, list[str]] = {}
    for unknown in unknown_names(catalogue, alone=alone):
        problems.setdefault(unknown.place, []).append(unknown.message)
    if problems:
        text = "; ".join(f"{place}: {'; '.join(texts)}" for place, texts in problems.items())
        raise InvalidInput(f"The catalogue is not consistent. Nothing was changed: {text}.", fields=problems)


def write_group(document: GroupDocument, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Make a group and its members what the document says; who is taken out keeps no grant that rested on it."""
    group, made = Group.objects.get_or_create(name=document.name)
    before = [] if made else sorted(group.user_set.values_list("username", flat=True))
    after = sorted(canonical_username(name) for name in document.members)
    if made or before != after:
        group.user_set.set(Identity.objects.filter(username__in=after))
        ends = _end_of_members(set(before) - set(after), plan, now)
        action: Action = "create" if made else "change"
        note(plan, action, "group", document.name, {"members": before}, {"members": after}, ends)
        _record_members(document.name, before, after, ends, actor, now)


def _end_of_members(names: Collection[str], plan: Plan, now: dt.datetime) -> tuple[str, ...]:
    return _end_those_without_ground(Grant.objects.filter(holder__username__in=names), plan, now)


def _record_members(
    name: str, before: list[str], after: list[str], ends: tuple[str, ...], actor: Actor, now: dt.datetime
) -> None:
    record(
        event=Event.PERMISSION_CHANGED, actor=actor, object_type="group", object_ref=name, now=now,
        data={"before": before, "after": after, "grants_ended": list(ends)},
    )  # fmt: skip


def remove_group(group: Group, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Take a group away, with all that it gave; who was in it keeps no grant that rested on it."""
    before = sorted(group.user_set.values_list("username", flat=True))
    group.delete()
    ends = _end_of_members(before, plan, now)
    plan.changes.append(Change("remove", "group", group.name, (), ends))
    _record_members(group.name, before, [], ends, actor, now)


def write_cluster(
    document: ClusterDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Make a cluster and its targets what the document says; grants whose ground is taken away end.

    ``on_server``: the document may name secrets of the server. Raises DocumentError.
    """
    cluster = Cluster.objects.filter(name=document.name).first()
    before = cluster_data(cluster) if cluster and cluster.removed_at is None else None
    document = settled(document)
    seen, sealed, shown = read_connection(document, cluster, on_server=on_server)
    after = plain(document.model_copy(update={"connection": shown}))
    if cluster is None:
        cluster = Cluster(name=document.name, created_at=now)
    if before == after:
        return
    if cluster.pk and seen == cluster.connection:
        _renew_secrets(cluster, document, sealed)
    cluster.connection, cluster.sealed_connection = seen, sealed
    cluster.kind, cluster.summary, cluster.removed_at = document.kind, document.summary, None
    cluster.environment, cluster.risk, cluster.host_ca = (
        document.environment,
        document.risk,
        document.host_ca or "",
    )
    cluster.save()
    _targets(cluster, document, now)
    for part, permission in CLUSTER_PERMISSIONS.items():
        _give(cluster, permission, getattr(document, part))
    ends = _end_those_without_ground(Grant.objects.filter(cluster=cluster), plan, now) if before else ()
    note(plan, "change" if before else "create", "cluster", document.name, before, after, ends)
    record(
        event=Event.CLUSTER_CHANGED if before else Event.CLUSTER_CREATED, actor=actor, object_type="cluster",
        object_ref=document.name, now=now, data={"digest": digest_of(after), "grants_ended": list(ends)},
    )  # fmt: skip


def _renew_secrets(cluster: Cluster, document: ClusterDocument, sealed: bytes) -> None:
    """New secrets for the same places: what is still to be undone there is undone with them. A place that the cluster has
    left is told no new secret.
    """
    port = type_of(document.kind).default_port
    here = [models.Q(address=target.address, port=target.port or port) for target in document.targets]
    Lease.objects.filter(
        functools.reduce(operator.or_, here),
        grant__cluster=cluster,
        gone_at__isnull=True,
        connection=cluster.connection,
    ).update(sealed_connection=sealed)


def _targets(cluster: Cluster, document: ClusterDocument, now: dt.datetime) -> None:
    """A target keeps its row as long as its name is there; one that is gone is marked, for grants that used it."""
    wanted, type_ = {target.name: target for target in document.targets}, type_of(document.kind)
    cluster.targets.filter(removed_at__isnull=True).exclude(name__in=wanted).update(removed_at=now)
    for target in wanted.values():
        Target.objects.update_or_create(
            cluster=cluster,
            name=target.name,
            defaults={
                "address": target.address,
                "port": target.port or type_.default_port,
                "account": target.account or type_.account,
                "host_key": target.host_key or "",
                "removed_at": None,
            },
        )


def cluster_data(cluster: Cluster) -> dict[str, Any]:
    """Return a stored cluster as its file would say it; one that can't be read is mended by its file."""
    try:
        return plain(cluster_document(cluster))
    except facts.Unreadable as error:
        return {"unreadable": error.message}


def cluster_document(cluster: Cluster) -> ClusterDocument:
    """Return a stored cluster as a document. Raises Unreadable for a row that no file could have made."""
    try:
        return ClusterDocument.model_validate(cluster_row(cluster))
    except ValueError as error:
        raise facts.Unreadable(
            f"The cluster {cluster.name} can't be read.", hint="An administrator must apply its file again."
        ) from error


def cluster_row(cluster: Cluster) -> dict[str, Any]:
    """Return what the rows of a cluster say, by the names of its document, whether or not a file could say it."""
    type_ = find(cluster.kind)
    port, account = (type_.default_port, type_.account) if type_ else (None, None)
    return {
        "name": cluster.name,
        "kind": cluster.kind,
        "summary": cluster.summary,
        "environment": cluster.environment,
        "risk": cluster.risk,
        "host_ca": cluster.host_ca or None,
        "connection": shown_connection(cluster),
        "targets": [
            {"name": t.name, "address": t.address, "port": t.port if t.port != port else None,
             "account": t.account if t.account != account else None, "host_key": t.host_key or None}
            for t in cluster.targets.filter(removed_at__isnull=True).order_by("pk")
        ],
        **{part: _who(cluster, permission) for part, permission in CLUSTER_PERMISSIONS.items()},
    }  # fmt: skip


def plain(document: ClusterDocument | PolicyDocument) -> dict[str, Any]:
    """Return a document as plain data in which order that means nothing is no difference."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "targets" in data:
        data["targets"] = sorted(data["targets"], key=lambda target: str(target["name"]))
    for who in ("approvers", "requesters", "viewers", "administrators"):
        if isinstance(data.get(who), dict):
            data[who] = {key: sorted(names) for key, names in data[who].items()}
    return data


def is_published(command_set: CommandSet | None, file: CommandSetFile) -> bool:
    """Whether the command set is there, as the file says."""
    current = command_set.published if command_set and command_set.removed_at is None else None
    return (
        current is not None
        and current.digest == command_set_digest(file.document)
        and current.accepted == dict(file.accept)
    )


def write_command_set(
    file: CommandSetFile,
    plan: Plan,
    actor: Actor,
    now: dt.datetime,
    *,
    findings: Sequence[Finding] | None = None,
) -> None:
    """Publish what the file says, unless it is what is published. ``findings`` are the linter's, when it was asked before.

    Raises InvalidInput when it is not fit.
    """
    command_set = CommandSet.objects.filter(name=file.name).prefetch_related("versions").first()
    if is_published(command_set, file):
        return
    current = command_set.published if command_set else None
    live = command_set is not None and command_set.removed_at is None
    version = write_draft(file=file, actor=None, now=now, findings=findings)
    try:
        publish(version=version, actor=actor, by=None, now=now)
    except NotFitToPublish as error:
        place = f"command-sets/{file.name}"
        raise InvalidInput(
            f"{place} can't be published. Nothing was changed.",
            hint=error.hint,
            fields={f"{place}: {where}": texts for where, texts in error.fields.items()},
        ) from error
    before = current.document if current and live else None
    note(plan, "change" if before else "create", "command set", file.name, before, version.document)


def _refuse_unfit(document: PolicyDocument) -> None:
    """A policy brings no command set to a cluster where a role that it names could be handed on. Raises DocumentError."""
    sets = CommandSet.objects.live().filter(name__in=document.command_sets).prefetch_related("versions")
    found = unfit([version for one in sets if (version := one.published)], document.clusters)
    if found:
        raise DocumentError([Problem("command_sets", why) for why in found])


def write_policy(document: PolicyDocument, source: str, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Make a policy what the document says; grants that it no longer covers end. The plan is told what can't be met."""
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
    _give(policy, "request_accesspolicy", document.requesters)
    _give(policy, "view_accesspolicy", document.viewers)
    _give(policy, "administer_accesspolicy", document.administrators)
    approvers = document.approver_groups
    _give(policy, "approve_accesspolicy", Who(groups=approvers) if approvers else None)
    ends = _end_those_without_ground(Grant.objects.filter(policy=policy), plan, now) if before else ()
    note(plan, "change" if before else "create", "policy", document.name, before, plain(document), ends)
    record(
        event=Event.POLICY_CHANGED if before else Event.POLICY_CREATED, actor=actor, object_type="policy",
        object_ref=document.name, now=now,
        data={"version": policy.version, "digest": policy.digest, "grants_ended": list(ends)},
    )  # fmt: skip


def write_webhook(
    document: WebhookDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Make an endpoint for webhooks what the document says. A new one is told of what happens from now on.

    ``on_server``: the document may name a secret of the server. Raises DocumentError.
    """
    endpoint = WebhookEndpoint.objects.filter(name=document.name).first()
    live = endpoint is not None and endpoint.removed_at is None
    before = endpoint_data(endpoint) if endpoint and live else None
    check_address(document)
    secret, other = read_secret(document.secret, endpoint if live else None, on_server=on_server)
    if endpoint is None:
        endpoint = WebhookEndpoint(name=document.name, created_at=now)
    endpoint.summary, endpoint.url, endpoint.scope = document.summary, document.url, document.scope
    endpoint.events, endpoint.sealed_secret = sorted(set(document.events)), secret
    if other:
        # A change of keys that was under way is over: what signed before the last one is nobody's any more.
        endpoint.sealed_previous, endpoint.previous_until = b"", None
    if not live:
        endpoint.after, endpoint.removed_at, endpoint.paused_at = last_number(), None, None
        endpoint.pause_reason, endpoint.failing_since, endpoint.failures = "", None, 0
    endpoint.save()
    set_owners(endpoint, document.owners)
    after = endpoint_data(endpoint)
    if before == after and not other:
        return
    shown = {**after, "secret": "(new)"} if other else after
    note(plan, "change" if before else "create", "webhook", document.name, before, shown)
    record(
        event=Event.WEBHOOK_CHANGED if before else Event.WEBHOOK_CREATED, actor=actor, object_type="webhook",
        object_ref=document.name, now=now,
        data={"host": document.host, "events": endpoint.events, "scope": endpoint.scope, "other_key": other,
              "owners": after.get("owners", {})},
    )  # fmt: skip


def write_source(
    document: SourceDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Make a source of work what the document says. Raises DocumentError."""
    source = WorkflowSource.objects.filter(name=document.name).first()
    live = source is not None and source.removed_at is None
    before = shown_document(source) if source and live else None
    seen, kept = read_secrets(document, source if live else None, on_server=on_server)
    if source is None:
        source = WorkflowSource(name=document.name, created_at=now)
    elif live and seen == source.document and kept == bytes(source.sealed):
        return
    source.provider, source.summary, source.document, source.sealed = (
        document.provider,
        document.summary,
        seen,
        kept,
    )
    source.changed_at, source.removed_at, source.last_error = now, None, ""
    source.save()
    after = shown_document(source)
    note(plan, "change" if before else "create", "workflow source", document.name, before, after)
    record(
        event=Event.SOURCE_CHANGED if before else Event.SOURCE_CREATED, actor=actor, object_type="workflow_source",
        object_ref=document.name, now=now, data={"provider": document.provider, "digest": digest_of(seen)},
    )  # fmt: skip


def policy_data(policy: AccessPolicy) -> dict[str, Any]:
    """Return a stored policy as its file would say it; one that can't be read is mended by its file."""
    try:
        return plain(facts.policy_document(policy))
    except facts.Unreadable as error:
        return {"unreadable": error.message}


def _give(thing: models.Model, permission: str, who: Who | None) -> None:
    """Make exactly these groups and identities hold the permission on the thing."""
    groups = [Group.objects.get_or_create(name=name)[0] for name in (who.groups if who else ())]
    people = list(
        Identity.objects.filter(
            username__in=[canonical_username(name) for name in (who.identities if who else ())]
        )
    )
    held_by = [
        *_holders(get_groups_with_perms(thing, attach_perms=True), permission),
        *_holders(get_users_with_perms(thing, attach_perms=True, with_group_users=False), permission),
    ]
    for holder in held_by:
        if holder not in groups and holder not in people:
            remove_perm(permission, holder, thing)
    for holder in (*groups, *people):
        if holder not in held_by:
            assign_perm(permission, holder, thing)


def _holders(permissions: Any, permission: str) -> list[Any]:
    return [holder for holder, held in permissions.items() if permission in held]


def _who(thing: models.Model, permission: str) -> dict[str, list[str]] | None:
    groups = sorted(g.name for g in _holders(get_groups_with_perms(thing, attach_perms=True), permission))
    people = sorted(
        p.username
        for p in _holders(get_users_with_perms(thing, attach_perms=True, with_group_users=False), permission)
    )
    return {"groups": groups, "identities": people} if groups or people else None


def _end_those_without_ground(
    grants: models.QuerySet[Grant], plan: Plan, now: dt.datetime
) -> tuple[str, ...]:
    """End live grants that would not be made any more, and return their references. Scheduled ones are asked at their start."""
    ended = []
    for grant in grants.filter(state__in=[GrantState.PROVISIONING, GrantState.ACTIVE]):
        reason = "" if grant.ref in plan.ending else _why_not_stand(grant, now)
        if reason:
            _end(grant, plan, EndReason.POLICY_CHANGED, reason, now)
            ended.append(grant.ref)
    return tuple(ended)


def _end(grant: Grant, plan: Plan, reason: EndReason, note: str, now: dt.datetime) -> None:
    plan.ending.add(grant.ref)
    # A rehearsal would lock the grant, so that meanwhile nobody else could end it.
    if not rehearsing():
        end_grant(grant_id=grant.pk, actor=None, reason=reason, now=now, note=note)


def _why_not_stand(grant: Grant, now: dt.datetime) -> str:
    try:
        return why_not_start(grant, now)
    except (StintError, ValueError) as error:
        return f"It can no longer be checked: {error}"


@dataclass(frozen=True, slots=True)
class _Removal:
    """How one kind of thing is taken out of use."""

    model: Any
    grants_of: Callable[[Any], GrantQuerySet]
    reason: EndReason
    event: Event


_REMOVALS: Mapping[str, _Removal] = {
    "policy": _Removal(
        AccessPolicy, lambda row: Grant.objects.filter(policy=row), EndReason.POLICY_CHANGED, Event.POLICY_REMOVED
    ),
    "cluster": _Removal(
        Cluster, lambda row: Grant.objects.filter(cluster=row), EndReason.CLUSTER_REMOVED, Event.CLUSTER_REMOVED
    ),
    "command set": _Removal(
        CommandSet, lambda row: Grant.objects.filter(command_set_version__command_set=row),
        EndReason.POLICY_CHANGED, Event.COMMAND_SET_RETIRED,
    ),
    "trust policy": _Removal(
        TrustPolicy, lambda _: Grant.objects.none(), EndReason.POLICY_CHANGED, Event.TRUST_POLICY_REMOVED
    ),
    "webhook": _Removal(
        WebhookEndpoint, lambda _: Grant.objects.none(), EndReason.POLICY_CHANGED, Event.WEBHOOK_REMOVED
    ),
    "workflow source": _Removal(
        WorkflowSource, lambda row: Grant.objects.filter(workflow__source=row), EndReason.WORKFLOW_CLOSED,
        Event.SOURCE_REMOVED,
    ),
}  # fmt: skip


def live_rows(type_: str) -> Any:
    """Return what stands in the catalogue of one type, by name."""
    return _REMOVALS[type_].model.objects.live().order_by("name")


def remove_row(type_: str, row: Any, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    """Take one thing out of use; what was granted by it ends."""
    removal = _REMOVALS[type_]
    removal.model.objects.filter(pk=row.pk).update(removed_at=now)
    taken = revoke_issued_tokens(policy=row, actor=actor, now=now) if isinstance(row, TrustPolicy) else None
    ended = []
    for grant in removal.grants_of(row).before_end():
        if grant.ref not in plan.ending:
            _end(grant, plan, removal.reason, f"The {type_} was removed.", now)
            ended.append(grant.ref)
    plan.changes.append(Change("remove", type_, row.name, (), tuple(ended)))
    record(
        event=removal.event, actor=actor, object_type=type_.replace(" ", "_"), object_ref=row.name, now=now,
        data={"grants_ended": ended, **({} if taken is None else {"tokens_revoked": taken})},
    )  # fmt: skip
