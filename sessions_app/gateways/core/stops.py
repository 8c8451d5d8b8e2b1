"""End single commands that someone has chosen to end on a page or through the API."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.recording import Recorder
from sessions_app.queries.gateways.stops import stops_of

log = structlog.get_logger(__name__)

# Seconds before the rows are read again if the database is unavailable.
AGAIN = 1.0
# How many notifications about unknown runs are remembered: a notification may arrive just before its run is
# added.
MOST_EARLY = 256

Stop = Callable[[str], None]


class Stops:
    """The commands of this process that can be ended individually."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[int, Stop] = {}
        self._early: deque[int] = deque(maxlen=MOST_EARLY)
        self._news = asyncio.Event()

    def add(self, run_id: int, recorder: Recorder, stop: Stop) -> None:
        """Let a command be ended while its recorder is open. ``stop`` cuts it and shows the reason."""
        self._running[run_id] = stop

        def closed(event: object) -> None:
            if event is None:
                self._running.pop(run_id, None)

        recorder.followers.append(closed)
        if run_id in self._early:
            self._news.set()

    def heard(self, run_ids: Iterable[int]) -> None:
        """Check now, because someone ended these runs."""
        self._early.extend(run_ids)
        self.heard_nothing()

    def heard_nothing(self) -> None:
        """Check now, because notifications may have been lost."""
        if self._running:
            self._news.set()

    async def keep(self) -> None:
        """End commands forever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._look()
            except Unavailable:
                await asyncio.sleep(AGAIN)
                self._news.set()

    async def _look(self) -> None:
        for run_id, by in await self._database.run(stops_of, run_ids=sorted(self._running)):
            stop = self._running.pop(run_id, None)
            if stop is not None:
                log.info("command.stopped", run=run_id)
                stop(f"{by} ended this command")
