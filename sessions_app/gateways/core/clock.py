"""The database's current time without a query, so that an unresponsive database delays nothing."""

from __future__ import annotations

import datetime as dt
import time


class LoopClock:
    """The database's time: the last reading of its clock, plus the time since then on a monotonic clock."""

    def __init__(self, database: dt.datetime, monotonic: float) -> None:
        self._database = database
        self._monotonic = monotonic

    def set(self, database: dt.datetime, monotonic: float) -> None:
        """Set a new reading: the database's time at a moment of ``time.monotonic``."""
        self._database, self._monotonic = database, monotonic

    def now(self) -> dt.datetime:
        """Return the current time, timezone-aware."""
        return self._database + dt.timedelta(seconds=time.monotonic() - self._monotonic)

    def epoch(self) -> float:
        """Return the current time in seconds since 1970."""
        return self.now().timestamp()

    def until(self, moment: dt.datetime) -> float:
        """Return the seconds left until a moment; negative when it has passed."""
        return (moment - self.now()).total_seconds()
