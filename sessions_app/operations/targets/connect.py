"""Connectors, with their keys and addresses from the database and the settings."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings

from broker.kernel import clock
from broker.kernel.crypto import CannotDecrypt
from sessions_app.connectors import registry
from sessions_app.connectors.base import Connector, ConnectorError, GrantSpec, LeaseSpec, TargetSpec
from sessions_app.connectors.http.connector import TYPE as HTTP
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters
from sessions_app.connectors.mariadb.connector import TYPE as MARIADB
from sessions_app.connectors.mcp.connector import TYPE as MCP
from sessions_app.connectors.postgres.connector import TYPE as POSTGRES
from sessions_app.connectors.ssh.setup import ACCOUNT
from sessions_app.models import Cluster, Grant, Lease, Target
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.scope import TargetFacts
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.gateways.keys import SSH_USER_CA, active_authority, private_key_of
from sessions_app.queries.requests.facts import lease_facts, target_facts


def connector_for(kind: str) -> Connector:
    """Return the connector for a kind of cluster. Raises ConnectorError if there is none."""
    return registry.connector_for(kind)


def place_of_target(target: Target) -> TargetSpec:
    """Convert a catalog target to the form that connectors need. Raises ConnectorError."""
    cluster = target.cluster
    return _place(
        cluster, target_facts(target), cluster.host_ca, cluster.connection, cluster.sealed_connection
    )


def place_of_lease(lease: Lease, cluster: Cluster) -> TargetSpec:
    """Return the target of a grant's lease, even if the target has since changed in the catalog.

    Raises ConnectorError.
    """
    return _place(cluster, lease_facts(lease), lease.host_ca, lease.connection, lease.sealed_connection)


def _place(
    cluster: Cluster,
    target: TargetFacts,
    host_ca: str,
    connection: Mapping[str, Any],
    sealed: bytes | memoryview[int],
) -> TargetSpec:
    try:
        parameters = parameters_of(cluster.kind, connection, sealed, cluster_id=cluster.pk)
    except CannotDecrypt as error:
        raise ConnectorError(str(error), permanent=True) from error
    return TargetSpec(cluster=cluster.name, target=target, parameters=parameters, host_ca=host_ca)


def lease_of(
    lease: Lease,
    grant: Grant,
    *,
    others: Sequence[str] = (),
    contained: bool = False,
    as_root: bool = False,
    unfinished: Sequence[str] = (),
) -> LeaseSpec:
    """Convert a stored lease to the form that connectors need. Raises ConnectorError."""
    return LeaseSpec(
        grant_ref=grant.ref,
        mark=grant.mark,
        place=place_of_lease(lease, grant.cluster),
        made=lease.made,
        before=lease.before,
        since=lease.made_at,
        others=tuple(others),
        contained=contained,
        as_root=as_root,
        unfinished=tuple(unfinished),
    )


def spec_of(lease: Lease, grant: Grant) -> GrantSpec:
    """Convert a grant to the form that connectors need, for the target of one lease. Raises
    ConnectorError.
    """
    try:
        commands = compiled(grant.command_set_version, grant.parameters, grant.commands)
    except ValueError as error:
        raise ConnectorError(f"The grant's commands can't be read: {error}", permanent=True) from error
    return GrantSpec(
        grant_ref=grant.ref,
        mark=grant.mark,
        holder=grant.holder.username,
        place=place_of_lease(lease, grant.cluster),
        commands=commands,
        expires_at=grant.expires_at,
        made=lease.made,
        before=lease.before,
    )


def _ssh() -> Connector:
    # Imported here to save 30 MB in processes that call no targets.
    from sessions_app.connectors.ssh.certificates import Authority  # noqa: PLC0415
    from sessions_app.connectors.ssh.connector import SSHConnector  # noqa: PLC0415

    key = active_authority(SSH_USER_CA)
    if key is None:
        raise ConnectorError(
            "There is no SSH certificate authority. Create one with `manage.py ssh_ca`.", permanent=True
        )
    try:
        private_key = private_key_of(key)
    except CannotDecrypt as error:
        raise ConnectorError(str(error), permanent=True) from error
    return SSHConnector(
        Authority(private_key),
        source_addresses=settings.SSH_SOURCE_ADDRESS,
        clock=_database_clock(),
    )


def _database_clock() -> Callable[[], float]:
    """Return a clock that continues from the database's time.

    A node with a wrong clock would sign certificates that targets reject.
    """
    began, since = clock.now().timestamp(), time.monotonic()
    return lambda: began + time.monotonic() - since


def _kubernetes() -> Connector:
    # Imported here because the module is also large, and few processes need it.
    from sessions_app.connectors.kubernetes.connector import KubernetesConnector  # noqa: PLC0415

    now = _database_clock()
    return KubernetesConnector(
        now=lambda: dt.datetime.fromtimestamp(now(), dt.UTC), stint_url=settings.PUBLIC_URL
    )


KUBERNETES = registry.ConnectorType(
    kind="kubernetes",
    title="Kubernetes",
    make=_kubernetes,
    parameters=KubernetesParameters,
    default_port=6443,
    issues=True,
    orders=True,
    sees=True,
)
SSH = registry.ConnectorType(
    kind="ssh",
    title="SSH",
    make=_ssh,
    default_port=22,
    prepares=False,
    account=ACCOUNT,
    runs=True,
    orders=True,
    sees=True,
)


def register_all() -> None:
    """Register the kinds that come with Stint."""
    for one in (SSH, POSTGRES, MARIADB, HTTP, KUBERNETES, MCP):
        registry.register(one)
