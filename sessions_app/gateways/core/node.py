"""One gateway in a process: what it holds open, its lease from the database, and what it hears of ends.

A door tells it its sessions (``OpenSession``) and what uses them (``User``), and is cut by it: by its own clock at a deadline,
by NOTIFY, by the question each second, and when the database could not be asked for ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.enders import Enders
from sessions_app.gateways.core.lease import NOTHING, Known, Lease, Question
from sessions_app.gateways.core.listener import cancelled, listen
from sessions_app.gateways.core.registry import Registry
from sessions_app.gateways.core.reports import Reports
from sessions_app.operations.sessions.stop_gateway import stop_gateway

log = structlog.get_logger(__name__)

# Seconds. All together it is gone within 5.
REPORTS_S, SESSIONS_S, ROW_S = 2.0, 1.5, 1.0


class Node:
    """One gateway in one event loop. What it calls may be set until ``start``."""

    def __init__(
        self, known: Known, *, database: Database, reading: clock.Reading, question: Question[Any]
    ) -> None:
        """``database`` is where ends are reported."""
        self._name, self._database = known.name, database
        self.clock = LoopClock(reading.database, reading.monotonic)
        self.registry = Registry(Reports(database), self.clock)
        enders = Enders(self.registry, self.clock)
        self.registry.watcher = enders
        self.lease = Lease(known, registry=self.registry, enders=enders, question=question)
        self.id = 0
        self.on_hold: Callable[[int], None] = _nothing
        self.on_order: Callable[[], None] = _nothing
        # Called after what was heard has been cut.
        self.on_heard: Callable[[], None] = _nothing
        # Called when a part has failed: the node holds nothing then, and must not continue as if it did.
        self.on_failed: Callable[[], None] = _nothing
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def begin(cls, known: Known, *, database: Database, question: Question[Any] = NOTHING) -> Node:
        """Return a node that has its lease. Raises Unavailable."""
        node = cls(known, database=database, reading=await database.run(clock.sync), question=question)
        try:
            node.id = await node.lease.renew()
        except BaseException:
            node.lease.stop()
            raise
        return node

    def start(self) -> None:
        """Keep the lease and listen from now on."""
        self.keep(self.lease.keep(), "lease")
        heard = listen(
            on_grants=self._heard, on_hold=self.on_hold, on_order=self.on_order, on_gap=self._catch_up
        )
        self.keep(heard, "listener")

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something for ever; when it fails, the node has failed."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._fell_over)
        self._tasks.append(task)

    async def close(self, reason: str) -> None:
        """Cut everything, and wait until it is gone, but not for long."""
        self._stopping = True
        self.registry.stop_all(reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SESSIONS_S):
                await self.registry.wait_empty()

    async def leave(self) -> bool:
        """Renew and listen no more, and say that this gateway is gone. Return whether all ends were reported."""
        self._stopping = True
        self.lease.stop()
        for task in self._tasks:
            await cancelled(task)
        delivered = await self.registry.reports.wait(REPORTS_S)
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(ROW_S):
                await self._database.run(_stop, name=self._name)
        return delivered

    async def _heard(self, grant_ids: list[int]) -> None:
        # What fails here is caught up by the next renewal.
        with contextlib.suppress(Unavailable):
            await self.lease.look(grant_ids)
        # After the cut, which is the more urgent one.
        self.on_heard()

    async def _catch_up(self) -> None:
        """Look at all that notifications may have told while nobody listened."""
        self.on_order()
        # What fails here is caught up by the next renewal.
        with contextlib.suppress(Unavailable):
            await self.lease.renew()

    def _fell_over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._stopping:
            log.error("gateway.part_failed", part=task.get_name(), error=repr(task.exception()))
            self.on_failed()


def _stop(*, name: str) -> None:
    stop_gateway(name=name, now=clock.now())


def _nothing(*_: object) -> None:
    """Of no meaning at this door."""
