"""What the processes of Stint count and time, for Prometheus. `broker.state_metrics` has what the database knows.

Names follow Prometheus' conventions: base units, a unit as suffix, and `_total` for counters.
"""

from __future__ import annotations

import structlog
from prometheus_client import Gauge, Histogram, start_http_server

log = structlog.get_logger(__name__)

# Seconds. Two edges are promises: a deadline holds within 0.5 s, and a revoke is proven within 2 s.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)

BUILD = Gauge("stint_build_info", "1, with the version that this process runs", ["version"])
REQUESTS = Histogram(
    "stint_http_request_seconds",
    "Time from the arrival of a request to the begin of its answer",
    ["method", "route", "status"],
    buckets=SECONDS,
)
TASKS = Histogram(
    "stint_task_seconds", "Time that a task took in the worker", ["task", "outcome"], buckets=SECONDS
)
ENDS = Histogram(
    "stint_end_proven_seconds",
    "Time from when access had to end to the proof that it has, for each grant",
    ["cause"],
    buckets=SECONDS,
)
STREAMS = Gauge("stint_streams_open", "Live streams of pages that are open at this process")


def serve_metrics(host: str, port: int) -> None:
    """Serve this process's metrics at a port; 0: don't. A port that is taken stops no process: it is logged."""
    if not port:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        log.warning("metrics.not_served", host=host, port=port, error=error.strerror or str(error))
