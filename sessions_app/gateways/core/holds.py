"""Commands that wait for a second person."""

from __future__ import annotations

import asyncio

# Seconds. Notifications wake waiters at once; a lost one costs this long.
POLL = 2.0


class Holds:
    """Wakes whoever waits for a run once someone has decided on it."""

    def __init__(self) -> None:
        self._events: dict[int, asyncio.Event] = {}

    def heard(self, run_id: int) -> None:
        """Handle a decision on a run."""
        if run_id in self._events:
            self._events[run_id].set()

    async def next(self, run_id: int) -> None:
        """Return when something may have changed about a run."""
        event = self._events.setdefault(run_id, asyncio.Event())
        try:
            async with asyncio.timeout(POLL):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._events.pop(run_id, None)
