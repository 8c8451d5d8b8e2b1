"""When access begins and ends: one answer for the dry run, the pages, the notices and the grant."""

from __future__ import annotations

import datetime as dt


def begins_at(
    now: dt.datetime, *, asked: dt.datetime | None = None, workflow: dt.datetime | None = None
) -> dt.datetime:
    """Return when access begins that is given now: at the start that was asked for, but neither in the past nor before the
    work that it is for.
    """
    return max(moment for moment in (now, asked, workflow) if moment is not None)


def ends_at(begins: dt.datetime, seconds: int, *, workflow: dt.datetime | None = None) -> dt.datetime:
    """Return when access ends that begins then, for so many seconds, but no later than the work that it is for."""
    end = begins + dt.timedelta(seconds=seconds)
    return end if workflow is None else min(end, workflow)
