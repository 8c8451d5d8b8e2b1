"""What uses a session in a task of its own, and is cut by canceling that."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any


class Cuttable:
    """A ``User`` of a session, but for what it tells its holder. ``stop`` may be called at any time."""

    def __init__(self) -> None:
        # The task that runs it, which it sets itself.
        self._task: asyncio.Task[Any] | None = None
        # Why it was cut; empty if it was not.
        self._stopped = ""
        self._finish_by: dt.datetime | None = None
        self._finish_seconds = 0

    @property
    def _begun(self) -> bool:
        """Whether it has begun. What has not by the end does not begin."""
        return False

    @property
    def finish_by(self) -> dt.datetime | None:
        """Until when it may continue past the grant's end; None if it is cut then, or has not begun."""
        return self._finish_by if self._begun else None

    @property
    def finish_seconds(self) -> int:
        """For how many seconds it may continue past the grant's end; 0 if it is cut then, or has not begun."""
        return self._finish_seconds if self._begun else 0

    def stop(self, reason: str) -> None:
        """Cut it at once: nothing more of it is sent, neither to the target nor to the client."""
        if not self._stopped and self._task is not None:
            self._stopped = reason
            self._task.cancel()
