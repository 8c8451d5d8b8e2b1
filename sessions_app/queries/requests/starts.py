"""The start and end of requested access."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import AccessRequest
from sessions_app.policy.starts import begins_at, ends_at
from sessions_app.queries.requests.extents import left_duration

_MOMENT = dt.timedelta(seconds=1)


def would_run(request: AccessRequest, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return the start and end of a request's access if it were granted now, for the duration that approvers
    have left.

    An extension begins where its grant ends. If the workflow's time is over, the result is a very short time.
    """
    start, workflow = _start(request, now), request.workflow
    end = ends_at(start, left_duration(request), workflow=workflow.ends_at if workflow else None)
    return start, max(end, start + _MOMENT)


def later_start(request: AccessRequest, now: dt.datetime) -> dt.datetime | None:
    """Return when the access would begin if the request were granted now; None if immediately."""
    start = _start(request, now)
    return start if start > now else None


def _start(request: AccessRequest, now: dt.datetime) -> dt.datetime:
    workflow = request.workflow
    if request.extends:
        return begins_at(now, asked=request.extends.expires_at)
    return begins_at(now, asked=request.starts_at, workflow=workflow.starts_at if workflow else None)
