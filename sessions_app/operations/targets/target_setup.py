"""The one-time setup for a cluster's targets, generated from the cluster's settings and command sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.connector import origin_of
from sessions_app.connectors.http.parameters import HTTPParameters
from sessions_app.connectors.http.snippets import Site, snippet
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters
from sessions_app.connectors.kubernetes.setup import ceiling
from sessions_app.connectors.kubernetes.setup import target_setup as kubernetes_setup
from sessions_app.connectors.mariadb.parameters import MariaDBParameters
from sessions_app.connectors.mariadb.setup import target_setup as mariadb_setup
from sessions_app.connectors.postgres.parameters import PostgresParameters
from sessions_app.connectors.postgres.setup import login_trigger
from sessions_app.connectors.postgres.setup import target_setup as postgres_setup
from sessions_app.connectors.ssh.as_root import root_lines_of
from sessions_app.connectors.ssh.setup import Setup
from sessions_app.models import Cluster, Target
from sessions_app.operations.targets.connect import place_of_target
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet as KubernetesSet
from sessions_app.policy.commands.mariadb.decide import CompiledSet as MariaDBSet
from sessions_app.policy.commands.mariadb.privileges import Privilege as MariaDBPrivilege
from sessions_app.policy.commands.postgres.decide import CompiledSet as PostgresSet
from sessions_app.policy.commands.ssh.decide import CompiledSet as SSHSet
from sessions_app.queries.catalog.command_sets import published_sets
from sessions_app.queries.gateways.addresses import mcp_address
from sessions_app.queries.gateways.keys import SSH_USER_CA, trusted_authorities

HIDDEN_KEY = "THE-PROXY-KEY-OF-THIS-CLUSTER"
UPSTREAM = "http://127.0.0.1:9000"


@dataclass(frozen=True, slots=True)
class SetupText:
    """A text to run or to install: its title, its content, and instructions."""

    title: str
    says: str
    text: str


def setup_texts(cluster: Cluster) -> list[SetupText]:
    """Return the setup of a cluster's targets, without secrets; empty for kinds that need no setup.

    Raises ConnectorError if the cluster's connection can't be read.
    """
    makers = {
        "postgres": _postgres,
        "mariadb": _mariadb,
        "http": _http,
        "kubernetes": _kubernetes,
        "mcp": _mcp,
    }
    make = makers.get(cluster.kind)
    return make(cluster) if make else []


def ssh_setup(cluster: Cluster, *, gateways: Sequence[str]) -> Setup | None:
    """Return the setup of an SSH cluster's targets, including the commands of the cluster's published
    command sets that run as root; None without targets.

    ``gateways`` lists the addresses or networks from which gateways connect, as targets see them. Raises
    NoSetup.
    """
    targets = Target.objects.live().filter(cluster=cluster)
    accounts = sorted(set(targets.values_list("account", flat=True)))
    if not accounts:
        return None
    commands = (
        command for one in published_sets(cluster) if isinstance(one, SSHSet) for command in one.commands
    )
    return Setup(
        cluster=cluster.name,
        accounts=accounts,
        gateways=gateways,
        root_lines=root_lines_of(commands),
        ca_keys=[key.public_key for key in trusted_authorities(SSH_USER_CA)],
    )


def _places(cluster: Cluster) -> list[TargetSpec]:
    targets = cluster.targets.filter(removed_at__isnull=True).select_related("cluster").order_by("name")
    return [place_of_target(target) for target in targets]


def _postgres(cluster: Cluster) -> list[SetupText]:
    parameters = next((place.parameters for place in _places(cluster)), None)
    if not isinstance(parameters, PostgresParameters):
        return []
    text = postgres_setup(
        broker=parameters.user,
        templates=template_roles(published_sets(cluster)),
        keeper=parameters.reassign_to,
        read_statements=parameters.read_statements,
    )
    says = (
        "Run once on each server, as a superuser. Creates the role that Stint logs in as, with the least"
        " privileges it needs."
    )
    trigger = (
        "Optional, on PostgreSQL 17 and later, in each database: an event trigger that refuses "
        "logins of ended grants."
    )
    return [SetupText("Stint's role", says, text), SetupText("Login trigger", trigger, login_trigger())]


def _mariadb(cluster: Cluster) -> list[SetupText]:
    says = (
        "Run once on each server, as an administrator, and again when a command set allows more. "
        "Creates the account that Stint logs in as, with the privileges it can grant."
    )
    text = mariadb_target_setup(cluster)
    return [SetupText("Stint's account", says, text)] if text else []


def mariadb_target_setup(cluster: Cluster) -> str:
    """Return the SQL for a MariaDB cluster, including the privileges without parameters in its
    published command sets; empty without targets. Raises ConnectorError.
    """
    parameters = next((place.parameters for place in _places(cluster)), None)
    if not isinstance(parameters, MariaDBParameters):
        return ""
    privileges = [
        privilege
        for one in published_sets(cluster)
        if isinstance(one, MariaDBSet)
        for command in one.commands
        for privilege in command.granted()
    ]
    found = [one for one in privileges if isinstance(one, MariaDBPrivilege)]
    return mariadb_setup(
        user=parameters.user, privileges=list(dict.fromkeys(found)), encrypted=parameters.tls != "disable"
    )


def template_roles(sets: Iterable[CompiledSet]) -> list[str]:
    """Return the template roles that command sets name, without duplicates."""
    found = (
        privilege.names[0]
        for one in sets
        if isinstance(one, PostgresSet)
        for command in one.commands
        for privilege in command.privileges
        if privilege.kind == "role"
    )
    return sorted({name for name in found if isinstance(name, str)})


def _http(cluster: Cluster) -> list[SetupText]:
    return [
        SetupText(
            f"{site.target} behind {proxy}",
            f"Add this to the proxy's configuration. Replace {HIDDEN_KEY} with the proxy key and "
            f"{UPSTREAM} with the application's address, then reload the proxy. To print the "
            "configuration with the key, run `manage.py http_target_setup`.",
            snippet(proxy, replace(site, proxy_key=HIDDEN_KEY)),
        )
        for proxy, site in http_sites(cluster)
    ]


def http_sites(cluster: Cluster, *, upstream: str = UPSTREAM, stint: str = "") -> list[tuple[str, Site]]:
    """Return the proxy and site configurations for each target of an HTTP cluster; empty behind Stint's own
    gateway.

    A site includes the proxy key. ``stint`` is Stint's address as the proxy reaches it; if empty, Stint's
    public address is used. Raises ConnectorError.
    """
    found: list[tuple[str, Site]] = []
    for place in _places(cluster):
        key = place.parameters.proxy_key if isinstance(place.parameters, HTTPParameters) else None
        if isinstance(place.parameters, HTTPParameters) and key is not None:
            site = Site(
                target=place.target.name,
                origin=origin_of(place),
                upstream=upstream.rstrip("/"),
                stint=(stint or settings.PUBLIC_URL).rstrip("/"),
                base_path=place.parameters.base_path,
                proxy_key=key.get_secret_value(),
            )
            found.append((place.parameters.proxy, site))
    return found


def _kubernetes(cluster: Cluster) -> list[SetupText]:
    parameters = next((place.parameters for place in _places(cluster)), None)
    sets = _kubernetes_sets(published_sets(cluster))
    if not isinstance(parameters, KubernetesParameters) or not sets:
        return []
    text = kubernetes_setup(ceiling(sets, parameters.namespaces), accounts=parameters.accounts)
    says = (
        "Run `kubectl apply -f -`. Creates Stint's service account, which can grant no more than these "
        "command sets allow."
    )
    return [SetupText("Stint's account", says, text)]


def _kubernetes_sets(sets: Sequence[CompiledSet]) -> list[KubernetesSet]:
    return [one for one in sets if isinstance(one, KubernetesSet)]


def _mcp(cluster: Cluster) -> list[SetupText]:
    entry = {
        cluster.name: {
            "type": "http",
            "url": mcp_address(cluster),
            "headers": {"Authorization": "Bearer ${TOKEN}"},
        }
    }
    return [
        SetupText(
            "The server",
            "Stint installs nothing on the MCP server. Require a token, give it only to Stint, and "
            "allow only Stint to reach the server: an agent that can call it directly needs no grant.",
            "\n".join(
                f"{place.target.name}: {place.target.address}:{place.target.port}"
                for place in _places(cluster)
            ),
        ),
        SetupText(
            "The agent's client",
            "Replace ${TOKEN} with the token of a grant, from the grant's page or the API.",
            json.dumps({"mcpServers": entry}, indent=2),
        ),
    ]
