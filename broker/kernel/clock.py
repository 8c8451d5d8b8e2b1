"""The database's clock, which is the only one that Stint uses.

Only entry points and processes read it; operations take ``now`` as an argument. The time is the database's at
the last synchronization, plus this process's monotonic time since then. A node with a wrong clock therefore
can't extend access.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass

from django.db import connection

_RESYNC_AFTER = 5.0
# The maximum difference in speed between two clocks: the maximum that Linux corrects (adjtimex(2),
# ADJ_FREQUENCY).
_DRIFT = 500e-6


@dataclass(frozen=True, slots=True)
class Reading:
    """The database's time at a moment of ``time.monotonic``."""

    database: dt.datetime
    monotonic: float


_lock = threading.Lock()
_reading: Reading | None = None


def now() -> dt.datetime:
    """Return the database's time, aware, in UTC. Queries the database at most every 5 s, and raises its
    errors.
    """
    reading = _reading
    if reading is None or time.monotonic() - reading.monotonic > _RESYNC_AFTER:
        reading = sync()
    return reading.database + dt.timedelta(seconds=time.monotonic() - reading.monotonic)


def sync() -> Reading:
    """Read the database's clock now. The reading is never behind the database's clock, and is ahead of it by
    at most the delay of the response.
    """
    with connection.cursor() as cursor:
        # Connect first, so that the time to open a connection is not part of the delay.
        before = time.monotonic()
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
        return heard(row[0].astimezone(dt.UTC), before=before)


def heard(said: dt.datetime, *, before: float) -> Reading:
    """Update the reading from a response that has just arrived. ``before``: monotonic time at which its query
    was sent.
    """
    global _reading
    after = time.monotonic()
    with _lock:
        _reading = narrowed(_reading, said=said, before=before, after=after)
        return _reading


def narrowed(last: Reading | None, *, said: dt.datetime, before: float, after: float) -> Reading:
    """Return the reading at ``before``, given that the database read ``said`` between ``before`` and
    ``after``.

    The reading assumes an immediate response, so a slow response sets the clock ahead by up to the delay. Any
    other assumption could set the clock back and delay deadlines. The ``last`` reading, carried forward, is
    kept as long as it is consistent with the response.
    """
    if last is not None:
        carried = last.database + dt.timedelta(seconds=(before - last.monotonic) * (1 + _DRIFT))
        if said - dt.timedelta(seconds=after - before) <= carried <= said:
            return Reading(database=carried, monotonic=before)
    return Reading(database=said, monotonic=before)


def skew() -> float:
    """Return the seconds by which this node's clock is ahead of the database's."""
    sync()
    return (dt.datetime.now(dt.UTC) - now()).total_seconds()
