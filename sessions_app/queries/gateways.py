"""Gateways that holders connect to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.conf import settings

from sessions_app.models import Cluster, GatewayNode, Session

# A gateway that is being restarted keeps its key; one that has gone for good is forgotten after a while.
_KNOWN_FOR = dt.timedelta(days=1)


def ssh_host_keys(now: dt.datetime) -> list[str]:
    """Return the public keys of the SSH gateways, each once, as known_hosts has them."""
    seen = GatewayNode.objects.filter(seen_at__gt=now - _KNOWN_FOR).exclude(host_key="")
    return sorted(set(seen.values_list("host_key", flat=True)))


@dataclass(frozen=True, slots=True)
class OpenAtGateway:
    """A session that is open by its row."""

    session_id: int
    grant_id: int
    proof: str


def open_at_gateway(gateway_id: int) -> list[OpenAtGateway]:
    """Return what is open at a gateway by the rows, which may be more than it holds: the answer to an opening may be lost."""
    rows = Session.objects.filter(gateway=gateway_id, closed_at__isnull=True)
    return [OpenAtGateway(*row) for row in rows.values_list("pk", "grant_id", "proof")]


def mcp_address(cluster: Cluster) -> str:
    """Return where agents connect for a cluster's tools; nothing for a cluster of another kind."""
    return f"{settings.MCP_URL}/mcp/{cluster.name}" if cluster.kind == "mcp" else ""
