"""Addresses and keys of the gateways that holders connect to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from broker.kernel.x509 import fingerprint
from sessions_app.models import Cluster, GatewayNode
from sessions_app.queries.gateways.keys import (
    GATEWAY_CA,
    SSH_HOST_KEY,
    bundle,
    public_line,
    trusted_authorities,
)

# A gateway keeps its certificate when it restarts. A gateway that has been gone for this long is ignored.
_KNOWN_FOR = dt.timedelta(days=1)
# A gateway that has not renewed its lease for this long is gone, regardless of its row.
_RUNS_FOR = dt.timedelta(minutes=1)


def ssh_host_keys() -> list[str]:
    """Return the current and announced public host keys of the SSH gateways in known_hosts format, oldest
    first. Empty until the first SSH gateway has started.
    """
    return [public_line(key) for key in trusted_authorities(SSH_HOST_KEY)]


@dataclass(frozen=True, slots=True)
class WebGateway:
    """The address of the web gateways, and the certificates that clients trust there.

    ``ca`` has the certificates of Stint's own authorities (concatenated PEM); empty if an administrator
    provides the gateways' certificates. ``fingerprints`` are the SHA-256 of those authorities, or of the
    gateways' certificates. Both are empty if no gateway has run for a day.
    """

    url: str
    ca: str
    fingerprints: list[str]


def web_gateway(now: dt.datetime) -> WebGateway:
    """Return the address of the web gateways, and the certificates that clients trust, as reported by the
    gateways.
    """
    known = GatewayNode.objects.filter(seen_at__gt=now - _KNOWN_FOR).exclude(tls_fingerprint="")
    # If any gateways are running, only those: stopped ones may have had another certificate.
    running = known.filter(stopped_at__isnull=True, seen_at__gt=now - _RUNS_FOR)
    said = set((running if running.exists() else known).values_list("tls_fingerprint", flat=True))
    trusted = {
        fingerprint(key.public_key.encode()): key.public_key for key in trusted_authorities(GATEWAY_CA)
    }
    if said.isdisjoint(trusted):
        return WebGateway(settings.GATEWAY_PUBLIC_URL, "", sorted(said))
    return WebGateway(settings.GATEWAY_PUBLIC_URL, bundle(trusted.values()), sorted(said | trusted.keys()))


def mcp_address(cluster: Cluster) -> str:
    """Return the address where agents connect to a cluster's tools; empty for a cluster of another kind."""
    return f"{settings.MCP_URL}/mcp/{cluster.name}" if cluster.kind == "mcp" else ""


def postgres_address() -> tuple[str, int]:
    """Return the host and the port of the PostgreSQL gateway, as clients reach it."""
    host = urlsplit(settings.GATEWAY_PUBLIC_URL).hostname or "localhost"
    return host, settings.POSTGRES_GATEWAY_PORT


def http_address(cluster: Cluster, target: str = "") -> str:
    """Return the URL of a cluster at Stint's own HTTP gateway; empty for a cluster behind another proxy or of
    another kind. ``target`` is required if the cluster has several targets.
    """
    if cluster.kind != "http" or cluster.connection.get("proxy") != "stint":
        return ""
    if host := cluster.connection.get("public_host"):
        port = urlsplit(settings.GATEWAY_PUBLIC_URL).port
        return f"https://{host}:{port}" if port else f"https://{host}"
    return f"{settings.GATEWAY_PUBLIC_URL}/http/{target or cluster.name}"
