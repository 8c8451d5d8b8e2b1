"""The gateway's metrics, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from broker.kernel.metrics import SECONDS

SESSIONS = Gauge("stint_gateway_sessions_open", "Open sessions")
COMMANDS = Counter("stint_gateway_commands", "Commands, by outcome", ["outcome"])
ALLOWED = COMMANDS.labels("allowed")
CONNECTIONS_REFUSED = Counter(
    "stint_gateway_connections_refused", "Connections closed before authentication", ["why"]
)
CUT = Histogram(
    "stint_gateway_cut_seconds",
    "Time from the deadline or revoke until the connections were cut",
    ["cause"],
    buckets=SECONDS,
)
LEASE_LOST = Counter(
    "stint_gateway_lease_lost",
    "Number of times that the gateway cut everything because it could not reach its database",
)
