"""When what is asked for would begin and end."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import AccessRequest
from sessions_app.policy.starts import begins_at, ends_at
from sessions_app.queries.extents import left_duration

_MOMENT = dt.timedelta(seconds=1)


def would_run(request: AccessRequest, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return from when to when the access of a request would be if it were given now, for what approvers left of its time.
    An extension begins where its grant ends; work whose time is over leaves a moment.
    """
    workflow = request.workflow
    if request.extends:
        start = begins_at(now, asked=request.extends.expires_at)
    else:
        start = begins_at(now, asked=request.starts_at, workflow=workflow.starts_at if workflow else None)
    end = ends_at(start, left_duration(request), workflow=workflow.ends_at if workflow else None)
    return start, max(end, start + _MOMENT)


def later_start(request: AccessRequest, now: dt.datetime) -> dt.datetime | None:
    """Return when the access of a request would begin if it were given now; None when that is at once."""
    start, _ = would_run(request, now)
    return start if start > now else None
