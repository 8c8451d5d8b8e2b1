"""What the gateway counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

SESSIONS = Gauge("stint_ssh_sessions_open", "Sessions that are open at this gateway")
COMMANDS = Counter("stint_ssh_commands", "Commands tried at this gateway", ["outcome"])
CONNECTIONS_REFUSED = Counter(
    "stint_ssh_connections_refused", "Connections cut before they proved who they are", ["why"]
)
CUT = Histogram(
    "stint_ssh_cut_seconds",
    "From the deadline, or from hearing of a revoke, to the connections being cut",
    ["cause"],
    buckets=_SECONDS,
)
UNDONE = Histogram(
    "stint_revoke_seconds", "From the start of a grant's end to its proof", buckets=(*_SECONDS, 10.0, 60.0)
)
LEASE_LOST = Counter(
    "stint_gateway_lease_lost", "Times that the gateway dropped everything for want of its database"
)
