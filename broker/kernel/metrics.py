"""The Prometheus metrics of Stint's processes. Metrics of the database are in `broker.state_metrics`.

Names follow Prometheus' conventions: base units, a unit as suffix, and `_total` for counters.
"""

from __future__ import annotations

import structlog
from prometheus_client import Gauge, Histogram, start_http_server

log = structlog.get_logger(__name__)

# Seconds. Two buckets are promises: a deadline is enforced within 0.5 s, and a revocation is confirmed within
# 2 s.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)

BUILD = Gauge("stint_build_info", "Always 1, with the version of this process", ["version"])
REQUESTS = Histogram(
    "stint_http_request_seconds",
    "Time from the arrival of a request to the start of its response",
    ["method", "route", "status"],
    buckets=SECONDS,
)
TASKS = Histogram(
    "stint_task_seconds", "Duration of a task in the worker", ["task", "outcome"], buckets=SECONDS
)
ENDS = Histogram(
    "stint_end_proven_seconds",
    "Time from the due end of a grant to the confirmation that its access is gone",
    ["cause"],
    buckets=SECONDS,
)
STREAMS = Gauge("stint_streams_open", "Open live streams of pages at this process")


def serve_metrics(host: str, port: int) -> None:
    """Serve this process's metrics on a port; 0 disables them. A port in use is logged and does not stop the
    process.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        log.warning("metrics.not_served", host=host, port=port, error=error.strerror or str(error))
