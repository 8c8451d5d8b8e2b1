"""What the gateway counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

SESSIONS = Gauge("stint_gateway_sessions_open", "Open sessions")
COMMANDS = Counter("stint_gateway_commands", "Commands tried, by outcome", ["outcome"])
CONNECTIONS_REFUSED = Counter(
    "stint_gateway_connections_refused", "Connections closed before authentication", ["why"]
)
CUT = Histogram(
    "stint_gateway_cut_seconds",
    "Time from the deadline, or from the notification of a revoke, to the cut of the connections",
    ["cause"],
    buckets=_SECONDS,
)
REVOKED = Histogram(
    "stint_revoke_seconds", "Time from the start of a revoke to its proof", buckets=(*_SECONDS, 10.0, 60.0)
)
LEASE_LOST = Counter(
    "stint_gateway_lease_lost", "Times the gateway cut everything because it could not reach its database"
)
