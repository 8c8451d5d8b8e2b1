"""`/healthz` (the process responds), `/readyz` (the process can serve requests) and `/metrics`, all answered
before sessions are loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from broker import state_metrics
from broker.kernel import clock
from sessions_app.queries.record.recording_files import recordings_trouble
from sessions_app.queries.status.problems import troubles

MAX_SKEW = 2.0


class HealthMiddleware:
    """Answers these paths without host checks, cookies or redirects: probes and Prometheus use a pod's
    address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return readyz()
        if request.path == "/metrics":
            return metrics(request)
        return self.get_response(request)


def readyz() -> HttpResponse:
    """Return 200 if the database responds and is migrated and this node's clock is right, otherwise 503 and
    the problems.

    ``warnings`` are problems of other nodes. Despite them, this node can still show and end grants, so probes
    should keep it in service. The endpoint is public, so the response contains no path, address or system
    error.
    """
    problems: list[str] = []
    warnings: list[str] = []
    try:
        skew = clock.skew()
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('sessions_app_grant') IS NOT NULL")
            row = cursor.fetchone()
        if row[0]:
            warnings += [*troubles(clock.now()), *_recordings()]
        else:
            problems.append("the database is not migrated: run `manage.py migrate`")
        if abs(skew) > MAX_SKEW:
            problems.append(f"this node's clock is {skew:+.1f} s off the database's: fix NTP")
    except DatabaseError as error:
        problems.append(f"the database did not respond: {type(error).__name__}")
    body = {"ready": not problems, "problems": problems, "warnings": warnings}
    answer = JsonResponse(body, status=503 if problems else 200)
    # Prevents Django from logging a line at every probe, every few seconds.
    vars(answer)["_has_been_logged"] = True
    return answer


def _recordings() -> list[str]:
    full = "recording storage is almost full: see the administrators' notifications"
    return [full] if recordings_trouble(state_metrics.rooms.in_all()) else []


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of the process, then those of the database and the queue, in the Prometheus text
    format. They are open to anyone who can reach this port, because they identify no one.
    """
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    text = generate_latest() + generate_latest(state_metrics.registry)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
