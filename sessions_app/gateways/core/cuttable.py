"""A user of a session that runs in its own task, and is cut by canceling the task."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any


class Cuttable:
    """A ``User`` of a session, without the method that shows messages to the holder.

    ``stop`` may be called at any time.
    """

    def __init__(self) -> None:
        # The task of the use, set by the subclass.
        self._task: asyncio.Task[Any] | None = None
        # Why the use was cut; empty if it was not.
        self._stopped = ""
        self._finish_by: dt.datetime | None = None
        self._finish_seconds = 0

    @property
    def _begun(self) -> bool:
        """Whether the use has started. A use that has not started by the grant's end never starts."""
        return False

    @property
    def finish_by(self) -> dt.datetime | None:
        """The time until which the use may run past the grant's end.

        None if the use is cut off at the end, or has not started.
        """
        return self._finish_by if self._begun else None

    @property
    def finish_seconds(self) -> int:
        """The number of seconds that the use may run past the grant's end.

        0 if the use is cut off at the end, or has not started.
        """
        return self._finish_seconds if self._begun else 0

    def stop(self, reason: str) -> None:
        """Cut the use immediately: nothing more is sent to the target or the client."""
        if not self._stopped and self._task is not None:
            self._stopped = reason
            self._task.cancel()
