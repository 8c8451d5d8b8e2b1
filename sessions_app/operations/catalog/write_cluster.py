"""Update a cluster to match its document."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import operator
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from sessions_app.connectors.registry import type_of
from sessions_app.models import (
    Cluster,
    Grant,
    Lease,
    Target,
)
from sessions_app.operations.catalog.catalog_names import CLUSTER_PERMISSIONS
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.catalog.catalog_rows import cluster_data, plain
from sessions_app.operations.catalog.end_without_basis import end_without_basis
from sessions_app.operations.catalog.give_permission import give_permission
from sessions_app.operations.targets.cluster_connection import (
    read_connection,
    readable_secrets,
    sealed_secrets,
    settled,
)
from sessions_app.policy.catalog import (
    ClusterDocument,
)
from sessions_app.policy.digests import digest_of
from sessions_app.policy.documents import DocumentError, Problem
from sessions_app.queries.catalog.unenforceable import unenforced_on


def write_cluster(
    document: ClusterDocument, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool = False
) -> None:
    """Update a cluster and its targets to match the document. Grants whose basis is gone end.

    With ``on_server``, the document may refer to secrets on the server. Raises DocumentError.
    """
    cluster = Cluster.objects.filter(name=document.name).first()
    before = cluster_data(cluster) if cluster and cluster.removed_at is None else None
    document = settled(document)
    seen, secrets, shown = read_connection(document, cluster, on_server=on_server)
    _check_public_host(document.name, seen.get("public_host"))
    after = plain(document.model_copy(update={"connection": shown}))
    if before == after:
        return
    if cluster is None:
        cluster = Cluster(name=document.name, created_at=now)
        cluster.sealed_connection = sealed_secrets(secrets, cluster)
    else:
        if secrets != readable_secrets(cluster):
            cluster.sealed_connection = sealed_secrets(secrets, cluster)
        if seen == cluster.connection:
            _renew_secrets(cluster, document)
    cluster.connection = seen
    cluster.kind, cluster.summary, cluster.removed_at = document.kind, document.summary, None
    cluster.environment, cluster.risk, cluster.host_ca = (
        document.environment,
        document.risk,
        document.host_ca or "",
    )
    cluster.save()
    if unfit := unenforced_on(cluster):
        raise DocumentError([Problem("connection.proxy", why) for why in unfit])
    _targets(cluster, document, now)
    for part, permission in CLUSTER_PERMISSIONS.items():
        give_permission(cluster, permission, getattr(document, part))
    ends = end_without_basis(Grant.objects.filter(cluster=cluster), plan, now) if before else ()
    note(plan, "change" if before else "create", "cluster", document.name, before, after, ends)
    record(
        event=Event.CLUSTER_CHANGED if before else Event.CLUSTER_CREATED,
        actor=actor,
        object_type="cluster",
        object_ref=document.name,
        now=now,
        data={"digest": digest_of(after), "grants_ended": list(ends)},
    )


def _check_public_host(name: str, host: str | None) -> None:
    """Check that no other cluster uses a public host name, and that it is not Stint's own.

    Raises DocumentError.
    """
    if not host:
        return
    why = ""
    if host in {
        urlsplit(url).hostname for url in (settings.PUBLIC_URL, settings.GATEWAY_PUBLIC_URL, settings.MCP_URL)
    }:
        why = "is the address of Stint itself: choose another host name"
    elif _is_address(host):
        why = "is an IP address: choose a host name"
    other = Cluster.objects.live().exclude(name=name).filter(connection__public_host=host).first()
    if other is not None:
        why = f"is already the public host of {other}: choose another host name"
    if why:
        raise DocumentError([Problem("connection.public_host", why)])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _renew_secrets(cluster: Cluster, document: ClusterDocument) -> None:
    """Copy the new secrets to open leases of the remaining targets, so that revocation uses the new secrets.

    Removed targets get no new secret.
    """
    port = type_of(document.kind).default_port
    here = [models.Q(address=target.address, port=target.port or port) for target in document.targets]
    Lease.objects.filter(
        functools.reduce(operator.or_, here),
        grant__cluster=cluster,
        gone_at__isnull=True,
        connection=cluster.connection,
    ).update(sealed_connection=cluster.sealed_connection)


def _targets(cluster: Cluster, document: ClusterDocument, now: dt.datetime) -> None:
    """Create, update and remove targets to match the document.

    A target keeps its row as long as its name is unchanged. A removed target is only marked as removed,
    because grants may have used it.
    """
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
