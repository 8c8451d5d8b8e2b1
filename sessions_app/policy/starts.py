"""When access begins and ends, computed identically for the dry run, the pages, the notifications and the
grant.
"""

from __future__ import annotations

import datetime as dt


def begins_at(
    now: dt.datetime, *, asked: dt.datetime | None = None, workflow: dt.datetime | None = None
) -> dt.datetime:
    """Return when access begins if it is granted now.

    This is the requested start, but not in the past and not before its workflow.
    """
    return max(moment for moment in (now, asked, workflow) if moment is not None)


def ends_at(begins: dt.datetime, seconds: int, *, workflow: dt.datetime | None = None) -> dt.datetime:
    """Return when access ends that begins at ``begins`` and lasts ``seconds``.

    It never ends after its workflow.
    """
    end = begins + dt.timedelta(seconds=seconds)
    return end if workflow is None else min(end, workflow)
