"""`/healthz` (this process answers) and `/readyz` (it can do its work), before sessions and databases are touched."""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from broker.audit.queries import checkpoint_trouble
from broker.kernel import clock
from sessions_app.policy.rules import SWEEPER_SILENCE
from sessions_app.queries.facts import sweeper_silence
from sessions_app.queries.grants import live_grants, overdue_revocation_seconds, revoke_quantiles

MAX_SKEW = 2.0


class HealthMiddleware:
    """Answers health paths without host checks, cookies or redirects, so that any prober may ask."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return readyz()
        return self.get_response(request)


def readyz() -> HttpResponse:
    """200 when the database answers, is migrated, and this node's clock is right; else 503 with what is wrong.

    ``warnings`` say what other nodes lack: this one can still show and end, so no prober should take it away. Anybody may
    ask, so that no path, address or error of the system is in the answer.
    """
    problems: list[str] = []
    warnings: list[str] = []
    try:
        skew = clock.skew()
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('sessions_app_grant') IS NOT NULL")
            row = cursor.fetchone()
        if row[0]:
            warnings += _warnings()
        else:
            problems.append("the database is not migrated: run `manage.py migrate`")
        if abs(skew) > MAX_SKEW:
            problems.append(f"this node's clock is {skew:+.1f} s off the database's: mend NTP")
    except DatabaseError as error:
        problems.append(f"the database does not answer: {type(error).__name__}")
    answer = {"ready": not problems, "problems": problems, "warnings": warnings}
    return JsonResponse(answer, status=503 if problems else 200)


def _warnings() -> list[str]:
    now = clock.now()
    warnings: list[str] = []
    silence = sweeper_silence(now)
    if silence is None or silence > SWEEPER_SILENCE:
        since = " yet" if silence is None else f" for {silence:.0f} s"
        warnings.append(
            f"nothing that ends access has run{since}, so nothing new may start: start the worker or an SSH gateway"
        )
    trouble = checkpoint_trouble()
    if trouble is not None:
        since = f"{(now - trouble.since).total_seconds():.0f} s"
        warnings.append(
            f"checkpoints of the record have not been kept outside the database for {since}: the Record page says why"
        )
    return warnings


OVERDUE = Gauge(
    "stint_oldest_overdue_revocation_seconds", "Since when the longest revoke has not been proven, in seconds"
)
LIVE = Gauge("stint_grants", "Grants that are not over, by state", ["state"])
CHECKPOINTS = Gauge(
    "stint_checkpoints_failing_seconds",
    "Since when checkpoints of the record can't be made or kept outside the database, in seconds",
)
TOOK = Gauge(
    "stint_revoke_proven_seconds",
    "From the begin of an end to its proof, over the last 500 ends",
    ["quantile"],
)


def metrics() -> HttpResponse:
    """The process's metrics, and how ending stands, in the Prometheus text format."""
    now = clock.now()
    OVERDUE.set(overdue_revocation_seconds(now))
    trouble = checkpoint_trouble()
    CHECKPOINTS.set((now - trouble.since).total_seconds() if trouble else 0)
    for state, count in live_grants().items():
        LIVE.labels(state).set(count)
    for quantile, seconds in revoke_quantiles().items():
        TOOK.labels(quantile).set(seconds)
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
