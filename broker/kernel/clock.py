"""One clock for everything: the database's.

Only doors and processes read it; operations take ``now`` as an argument. The reading is the database's time at the
last synchronisation plus this process's monotonic time since, so a node whose own clock is wrong lengthens nothing.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass

from django.db import connection

_RESYNC_AFTER = 5.0


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
    """Read the database's clock now, as if it had answered at once.

    So an answer that is late sets the clock ahead, by the delay at most. Any later moment would set it back, and every
    deadline would come later.
    """
    global _reading
    with connection.cursor() as cursor:
        # A connection that had to be made first is no part of the delay.
        before = time.monotonic()
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    reading = Reading(database=row[0].astimezone(dt.UTC), monotonic=before)
    with _lock:
        _reading = reading
    return reading


def skew() -> float:
    """Return by how many seconds this node's own clock is ahead of the database's."""
    sync()
    return (dt.datetime.now(dt.UTC) - now()).total_seconds()
