"""When access begins and ends, computed in the same way for the dry run, the pages, the notifications and the
grant.
"""

from __future__ import annotations

import datetime as dt


def begins_at(
    now: dt.datetime, *, asked: dt.datetime | None = None, workflow: dt.datetime | None = None
) -> dt.datetime:
    """Return when access begins if it is granted now.

    The result is the requested start, but never in the past and never before the workflow's start.
    """
    return max(moment for moment in (now, asked, workflow) if moment is not None)


def ends_at(begins: dt.datetime, seconds: int, *, workflow: dt.datetime | None = None) -> dt.datetime:
    """Return the end of access that begins at ``begins`` and lasts ``seconds``, but no later than the end of
    its workflow.
    """
    end = begins + dt.timedelta(seconds=seconds)
    return end if workflow is None else min(end, workflow)
