"""Commands that wait for another person's approval."""

from __future__ import annotations

import asyncio

# In seconds. Notifications wake waiting tasks immediately. If one is lost, the tasks wake after this time.
POLL = 2.0


class Holds:
    """Wakes the tasks that wait for a run once the run has been decided."""

    def __init__(self) -> None:
        self._events: dict[int, asyncio.Event] = {}

    def heard(self, run_id: int) -> None:
        """Handle a decision on a run."""
        if run_id in self._events:
            self._events[run_id].set()

    async def next(self, run_id: int) -> None:
        """Wait until a run may have changed."""
        event = self._events.setdefault(run_id, asyncio.Event())
        try:
            async with asyncio.timeout(POLL):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._events.pop(run_id, None)
