"""Save one catalog document: a group, cluster, command set, webhook, policy, workflow source or
trust policy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.record import rehearsal
from broker.kernel.errors import Conflict
from sessions_app.models import AccessPolicy, Cluster, CommandSet
from sessions_app.operations.catalog.catalog_names import unknown_names
from sessions_app.operations.catalog.catalog_plan import Plan, one_change
from sessions_app.operations.catalog.catalog_rows import cluster_document, plain
from sessions_app.operations.catalog.document_state import NOUN, Kind, state_of
from sessions_app.operations.catalog.propose_version import propose_version
from sessions_app.operations.catalog.save_draft import (
    CannotBeRead,
    OnlyAdministratorsSetUp,
    keep_name,
    may_set_up,
)
from sessions_app.operations.catalog.write_cluster import write_cluster
from sessions_app.operations.catalog.write_command_set import write_command_set
from sessions_app.operations.catalog.write_group import write_group
from sessions_app.operations.catalog.write_policy import write_policy
from sessions_app.operations.catalog.write_source import write_source
from sessions_app.operations.catalog.write_trust_policy import write_trust_policy
from sessions_app.operations.catalog.write_webhook import write_webhook
from sessions_app.operations.targets.cluster_connection import aimed_elsewhere, names_secrets
from sessions_app.policy.catalog import Catalog, ClusterDocument, read_one
from sessions_app.policy.documents import (
    MAX_PROBLEMS,
    DocumentError,
    Problem,
    line_of,
    load_yaml_with_lines,
    path_text,
)
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.widening import wider_cluster, wider_policy
from sessions_app.queries.catalog.widening import wider_set
from sessions_app.queries.requests import facts


class ChangedMeanwhile(Conflict):
    """Someone else changed the document after it was opened. Nothing was saved. Load the document again."""

    code = "changed_meanwhile"


def save_document(
    *,
    kind: Kind,
    source: str,
    actor: Identity,
    now: dt.datetime,
    name: str | None = None,
    based_on: str | None = None,
    told: Collection[str] | None = None,
    plan_only: bool = False,
) -> Plan:
    """Apply one YAML or JSON document to the catalog, as `manage.py apply` would, and return the changes.

    A command set is also published.

    ``name`` is the name that the document must have. ``based_on`` is the ``state_of`` value of the document
    when its author loaded it. ``told`` lists the grants that the caller was shown as ending. ``plan_only``
    changes nothing.

    Stint administrators may save every document. Administrators of a cluster or policy may change that
    object, but they can't change a cluster's address and connection, or add objects that they don't
    administer to a policy. A change that may allow more is not applied: the plan then has a ``proposal``,
    which another administrator must publish. Raises CannotBeRead with line numbers, OnlyAdministratorsSetUp,
    ChangedMeanwhile, MoreWouldEnd, AlreadyProposed.
    """
    try:
        catalog = read_one(kind, source)
    except DocumentError as error:
        raise CannotBeRead(NOUN[kind], error.problems) from error
    found = next(iter(_documents(catalog).keys()))
    keep_name(name, found, NOUN[kind])
    with one_change(
        actor=actor_of(actor), now=now, plan_only=plan_only, told=told, **grants_of(kind, found)
    ) as plan:
        wider = wider_than_stored(kind, catalog, actor)
        _check_names(kind, source, catalog)
        if based_on is not None and based_on != state_of(kind, found):
            raise ChangedMeanwhile(
                f"Someone else changed {found} since you opened it. Nothing was saved.",
                hint="Copy your changes, reload, and apply them again.",
            )
        try:
            if wider and not plan_only:
                _propose(kind, source, catalog, wider, plan, actor, now)
            else:
                write_documents(catalog, plan, actor, now)
        except DocumentError as error:
            lines = load_yaml_with_lines(source)[1]
            placed = [Problem(one.path, one.message, line_of(lines, one.path)) for one in error.problems]
            raise CannotBeRead(NOUN[kind], placed) from error
        plan.wider = wider if plan.changes else []
    return plan


def grants_of(kind: Kind, name: str) -> dict[str, Any]:
    """Return the filter for the grants that may end because of a change to the document."""
    filters = {"clusters": "cluster__name", "policies": "policy__name", "groups": "holder__groups__name"}
    return {filters[kind]: name} if kind in filters else {"pk": None}


def _propose(
    kind: Kind,
    source: str,
    catalog: Catalog,
    wider: list[str],
    plan: Plan,
    actor: Identity,
    now: dt.datetime,
) -> None:
    """Add a proposal to the plan if the document would change.

    Raises DocumentError if the document could not be saved.
    """
    if any(map(names_secrets, catalog.clusters.values())):
        raise OnlyAdministratorsSetUp(
            "A change that another administrator must publish can't contain a secret. Nothing was saved.",
            hint="Replace the secret first, without other changes.",
        )
    rehearsed = Plan()
    with rehearsal():
        write_documents(catalog, rehearsed, actor, now)
    for change in rehearsed.changes:
        plan.proposal = propose_version(
            kind=kind, name=change.name, source=source, wider=wider, diff=change.diff, actor=actor, now=now
        )


def _documents(catalog: Catalog) -> Mapping[str, Any]:
    """Return the documents of a catalog by name. The catalog contains only one document."""
    others = (
        catalog.clusters,
        catalog.command_sets,
        catalog.webhooks,
        catalog.sources,
        catalog.policies,
        catalog.trust_policies,
    )
    return next((found for found in others if found), catalog.groups)


def write_documents(catalog: Catalog, plan: Plan, actor: Identity, now: dt.datetime) -> None:
    """Make the catalog match all documents. Raises DocumentError."""
    for group in catalog.groups.values():
        write_group(group, plan, actor_of(actor), now)
    for cluster in catalog.clusters.values():
        write_cluster(cluster, plan, actor_of(actor), now)
    for command_set in catalog.command_sets.values():
        write_command_set(command_set, plan, actor_of(actor), now, by=actor)
    for webhook in catalog.webhooks.values():
        write_webhook(webhook, plan, actor_of(actor), now)
    for one in catalog.sources.values():
        write_source(one, plan, actor_of(actor), now)
    for policy, source in catalog.policies.values():
        write_policy(policy, source, plan, actor_of(actor), now)
    for trust, source in catalog.trust_policies.values():
        write_trust_policy(document=trust, source=source, plan=plan, actor=actor_of(actor), now=now)


def _check_names(kind: Kind, source: str, catalog: Catalog) -> None:
    unknown = unknown_names(catalog)
    if unknown:
        places = _places_of_texts(source)
        problems = [
            Problem(path, one.message, line)
            for one in unknown[:MAX_PROBLEMS]
            for path, line in [places.get(one.name, ("", None))]
        ]
        raise CannotBeRead(NOUN[kind], sorted(problems, key=lambda problem: problem.line or 0))


def _places_of_texts(source: str) -> dict[str, tuple[str, int | None]]:
    """Return the path and line of the first occurrence of each text in the document."""
    data, lines = load_yaml_with_lines(source)
    found: dict[str, tuple[str, int | None]] = {}
    for path, line in lines.items():
        if len(path) > 1 and isinstance(value := _at(data, path), str):
            found.setdefault(value, (path_text(path), line))
    return found


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def wider_than_stored(kind: Kind, catalog: Catalog, actor: Identity) -> list[str]:
    """Return the keys whose new values may allow more than the stored ones; empty for Stint
    administrators.

    Raises OnlyAdministratorsSetUp for changes that the actor may never make.
    """
    if actor.is_superuser:
        return []
    name = next(iter(_documents(catalog)))
    if kind == "clusters" and (
        cluster := Cluster.objects.live().administered_by(actor).filter(name=name).first()
    ):
        before = cluster_document(cluster)
        _check_not_aimed(before, catalog.clusters[name])
        return wider_cluster(before, catalog.clusters[name])
    if kind == "command-sets" and may_set_up(actor, CommandSet.objects.live().filter(name=name)):
        return wider_set(name, catalog.command_sets[name].document)
    policy = AccessPolicy.objects.live().administered_by(actor).filter(name=name).first()
    if kind != "policies" or policy is None:
        raise OnlyAdministratorsSetUp(f"Only administrators of the {NOUN[kind]} {name} can change it.")
    stored, after = facts.policy_document(policy), catalog.policies[name][0]
    _check_theirs(stored, after, actor)
    return wider_policy(stored, after)


def _check_not_aimed(before: ClusterDocument, after: ClusterDocument) -> None:
    """Prevent a cluster's administrators from sending Stint's credentials to another address, because targets
    trust Stint, not these administrators.
    """
    if plain(after).get("administrators") != plain(before).get("administrators"):
        raise OnlyAdministratorsSetUp("Only Stint administrators can choose who administers a cluster.")
    if changed := aimed_elsewhere(before, after):
        raise OnlyAdministratorsSetUp(
            "Only Stint administrators can change a cluster's address and how Stint logs in:"
            f" {', '.join(changed)}.",
            hint="Ask a Stint administrator, or leave these settings unchanged. You can still remove "
            "targets and replace secrets.",
        )


def _check_theirs(before: PolicyDocument, after: PolicyDocument, actor: Identity) -> None:
    """Prevent a policy's administrators from giving access to objects that others administer, and from
    choosing who else can change the policy.
    """
    clusters = Cluster.objects.live().administered_by(actor).values_list("name", flat=True)
    sets = CommandSet.objects.live().administered_by(actor).values_list("name", flat=True)
    foreign = [
        *sorted(set(after.clusters) - set(before.clusters) - set(clusters)),
        *sorted(set(after.command_sets) - set(before.command_sets) - set(sets)),
    ]
    if foreign:
        raise OnlyAdministratorsSetUp(
            f"You can add to a policy only what you administer. You don't administer: {', '.join(foreign)}.",
            hint="Ask a Stint administrator.",
        )
    if before.administrators != after.administrators:
        raise OnlyAdministratorsSetUp("Only Stint administrators can choose who administers a policy.")
