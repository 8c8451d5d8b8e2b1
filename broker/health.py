"""`/healthz` (this process answers) and `/readyz` (it can do its work), both answered before sessions are loaded."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from broker.audit.queries import checkpoint_trouble, oldest_unsigned
from broker.kernel import clock
from sessions_app.queries.facts import sweeper_silence
from sessions_app.queries.grants import live_grants, overdue_revocation_seconds, revoke_quantiles
from sessions_app.queries.recordings import Rooms, free_disk, recordings_trouble
from sessions_app.queries.troubles import age, troubles
from sessions_app.queries.upkeep import given_up_mail, longest_unreconciled, oldest_unmailed

MAX_SKEW = 2.0
# Anyone may ask, so all recordings are counted only once a minute.
_rooms = Rooms()


class HealthMiddleware:
    """Answers health paths without host checks, cookies or redirects, so that any probe may ask."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return readyz()
        return self.get_response(request)


def readyz() -> HttpResponse:
    """Return 200 if the database answers, is migrated, and this node's clock is right. Otherwise return 503 with the
    problems.

    ``warnings`` say what other nodes lack. This one can still show and end grants, so no probe should remove it. Anyone
    may ask, so the answer contains no path, address or error of the system.
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
    # A probe asks every few seconds, and gets to know. Django would write a line each time.
    vars(answer)["_has_been_logged"] = True
    return answer


def _recordings() -> list[str]:
    full = "recording storage is almost full: see the administrators' notifications"
    return [full] if recordings_trouble(_rooms.in_all()) else []


OVERDUE = Gauge(
    "stint_oldest_overdue_revocation_seconds",
    "Age in seconds of the oldest overdue end of a grant",
)
LIVE = Gauge("stint_grants", "Grants that have not ended, by state", ["state"])
CHECKPOINTS = Gauge(
    "stint_checkpoints_failing_seconds",
    "Seconds since checkpoints started to fail",
)
UNSIGNED = Gauge(
    "stint_oldest_unsigned_entry_seconds",
    "Age in seconds of the oldest entry not covered by a checkpoint",
)
UNMAILED = Gauge("stint_oldest_unsent_notice_seconds", "Age in seconds of the oldest unsent mail")
GIVEN_UP = Gauge("stint_notices_given_up", "Mails that failed in the last day")
UNRECONCILED = Gauge(
    "stint_oldest_unreconciled_cluster_seconds",
    "Seconds since the oldest last reconciliation of a cluster",
)
SILENCE = Gauge(
    "stint_sweepers_silent_seconds", "Seconds since a process that ends access last ran; +Inf: never"
)
RECORDINGS = Gauge("stint_recordings_bytes", "Bytes used by recordings")
RECORDINGS_FREE = Gauge(
    "stint_recordings_free_bytes",
    "Free bytes on the disk with the recordings; -1 if it is on another machine",
)
TOOK = Gauge(
    "stint_revoke_proven_seconds",
    "Time from the start of a revoke to its confirmation, over the last 500",
    ["quantile"],
)


def metrics() -> HttpResponse:
    """Return the process's metrics, and the state of revocations, in the Prometheus text format."""
    now = clock.now()
    OVERDUE.set(overdue_revocation_seconds(now))
    silence = sweeper_silence(now)
    SILENCE.set(math.inf if silence is None else silence)
    trouble = checkpoint_trouble()
    CHECKPOINTS.set(age(trouble.since if trouble else None, now))
    UNSIGNED.set(age(oldest_unsigned(), now))
    UNMAILED.set(age(oldest_unmailed(), now))
    GIVEN_UP.set(given_up_mail(now - dt.timedelta(days=1)))
    UNRECONCILED.set(age(longest_unreconciled(), now))
    disk = free_disk()
    RECORDINGS.set(_rooms.in_all())
    RECORDINGS_FREE.set(disk.free if disk else -1)
    for state, count in live_grants().items():
        LIVE.labels(state).set(count)
    for quantile, seconds in revoke_quantiles().items():
        TOOK.labels(quantile).set(seconds)
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
