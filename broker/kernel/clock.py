"""One clock for everything: the database's.

Only entry points and processes read it; operations take ``now`` as an argument. The reading is the database's time at the last
synchronization, plus this process's monotonic time since then. So a node with a wrong clock extends nothing.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass

from django.db import connection

_RESYNC_AFTER = 5.0
# By how much two clocks may differ in speed: what Linux can correct, 500 ppm (adjtimex(2), ADJ_FREQUENCY).
_DRIFT = 500e-6


@dataclass(frozen=True, slots=True)
class Reading:
    """The database's time at a moment of ``time.monotonic``."""

    database: dt.datetime
    monotonic: float


_lock = threading.Lock()
_reading: Reading | None = None


def now() -> dt.datetime:
    """Return the database's time, aware, in UTC. Asks the database at most every 5 s; raises its errors."""
    reading = _reading
    if reading is None or time.monotonic() - reading.monotonic > _RESYNC_AFTER:
        reading = sync()
    return reading.database + dt.timedelta(seconds=time.monotonic() - reading.monotonic)


def sync() -> Reading:
    """Read the database's clock now. The reading is never behind it, and only as far ahead as the answers were late."""
    with connection.cursor() as cursor:
        # The time to open a connection is not part of the delay.
        before = time.monotonic()
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
        return heard(row[0].astimezone(dt.UTC), before=before)


def heard(said: dt.datetime, *, before: float) -> Reading:
    """Take the database's time from an answer that has just arrived, to a question sent at ``before`` of the monotonic
    clock.
    """
    global _reading
    after = time.monotonic()
    with _lock:
        _reading = narrowed(_reading, said=said, before=before, after=after)
        return _reading


def narrowed(last: Reading | None, *, said: dt.datetime, before: float, after: float) -> Reading:
    """Return the reading at ``before``, if the database ``said`` its time between ``before`` and ``after``.

    Taken as if it had answered at once, a late answer sets the clock ahead by its delay; any later moment would set it
    back, and delay every deadline. So the ``last`` reading, carried forward, stays as long as the answer allows it.
    """
    if last is not None:
        carried = last.database + dt.timedelta(seconds=(before - last.monotonic) * (1 + _DRIFT))
        if said - dt.timedelta(seconds=after - before) <= carried <= said:
            return Reading(database=carried, monotonic=before)
    return Reading(database=said, monotonic=before)


def skew() -> float:
    """Return by how many seconds this node's own clock is ahead of the database's."""
    sync()
    return (dt.datetime.now(dt.UTC) - now()).total_seconds()
