"""The names of time zones."""

from __future__ import annotations

import functools
import zoneinfo


@functools.cache
def time_zones() -> frozenset[str]:
    """Return the names of all IANA time zones.

    They are read once per process, because reading them from their files takes as long as a page.
    """
    return frozenset(zoneinfo.available_timezones())
