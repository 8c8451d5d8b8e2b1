"""Catalog rows in the format of catalog files."""

from __future__ import annotations

from typing import Any

from django.db import models
from guardian.shortcuts import get_groups_with_perms, get_users_with_perms

from sessions_app.connectors.registry import find
from sessions_app.models import (
    AccessPolicy,
    Cluster,
)
from sessions_app.operations.catalog.catalog_names import CLUSTER_PERMISSIONS
from sessions_app.operations.targets.cluster_connection import (
    shown_connection,
)
from sessions_app.policy.catalog import (
    ClusterDocument,
)
from sessions_app.policy.policies import PolicyDocument
from sessions_app.queries.requests import facts


def cluster_data(cluster: Cluster) -> dict[str, Any]:
    """Return a stored cluster in the format of its file.

    If the row can't be read, return the error. The row is fixed by applying the file again.
    """
    try:
        return plain(cluster_document(cluster))
    except facts.Unreadable as error:
        return {"unreadable": error.message}


def cluster_document(cluster: Cluster) -> ClusterDocument:
    """Return a stored cluster as a document.

    Raises Unreadable for a row that no valid file could have produced.
    """
    try:
        return ClusterDocument.model_validate(cluster_row(cluster))
    except ValueError as error:
        raise facts.Unreadable(
            f"The cluster {cluster.name} can't be read.", hint="An administrator must apply its file again."
        ) from error


def cluster_row(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster's rows under the field names of its document, even if they would not form a valid
    file.
    """
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
            {
                "name": t.name,
                "address": t.address,
                "port": t.port if t.port != port else None,
                "account": t.account if t.account != account else None,
                "host_key": t.host_key or None,
            }
            for t in cluster.targets.filter(removed_at__isnull=True).order_by("pk")
        ],
        **{part: who_has(cluster, permission) for part, permission in CLUSTER_PERMISSIONS.items()},
    }


def policy_data(policy: AccessPolicy) -> dict[str, Any]:
    """Return a stored policy in the format of its file.

    If the row can't be read, return the error. The row is fixed by applying the file again.
    """
    try:
        return plain(facts.policy_document(policy))
    except facts.Unreadable as error:
        return {"unreadable": error.message}


def plain(document: ClusterDocument | PolicyDocument) -> dict[str, Any]:
    """Return a document as plain data. Lists whose order is irrelevant are sorted."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "targets" in data:
        data["targets"] = sorted(data["targets"], key=lambda target: str(target["name"]))
    for who in ("approvers", "requesters", "viewers", "administrators"):
        if isinstance(data.get(who), dict):
            data[who] = {key: sorted(names) for key, names in data[who].items()}
    return data


def who_has(thing: models.Model, permission: str) -> dict[str, list[str]] | None:
    groups = sorted(g.name for g in holders(get_groups_with_perms(thing, attach_perms=True), permission))
    people = sorted(
        p.username
        for p in holders(get_users_with_perms(thing, attach_perms=True, with_group_users=False), permission)
    )
    return {"groups": groups, "identities": people} if groups or people else None


def holders(permissions: Any, permission: str) -> list[Any]:
    return [holder for holder, held in permissions.items() if permission in held]
