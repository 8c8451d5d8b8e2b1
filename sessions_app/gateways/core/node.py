"""One gateway in a process: its open sessions, its lease from the database, and its notifications.

An endpoint registers its sessions (``OpenSession``) and their users (``User``), and the node cuts them: at
the deadline by its own clock, after a NOTIFY, when its query each second finds an end, and when it has not
reached the database for ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.broadcast import Broadcasts
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.cutting import Enders
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.lease import GatewayLease, Known
from sessions_app.gateways.core.listener import cancelled, listen
from sessions_app.gateways.core.registry import Registry
from sessions_app.gateways.core.reports import Reports
from sessions_app.gateways.core.stops import Stops
from sessions_app.operations.sessions.stop_gateway import stop_gateway

log = structlog.get_logger(__name__)

# In seconds. A shutdown takes at most 5 seconds in total.
REPORTS_S, SESSIONS_S, ROW_S = 2.0, 1.5, 1.0


class Node:
    """One gateway in one event loop. ``on_hold`` and ``on_heard`` can be set before ``start``. Endpoints
    can add to ``on_order`` at any time.
    """

    def __init__(self, known: Known, *, database: Database, reading: clock.Reading) -> None:
        """``database`` is used to report ends."""
        self._name, self._database = known.name, database
        self.clock = LoopClock(reading.database, reading.monotonic)
        self.registry = Registry(Reports(database), self.clock)
        self.broadcasts = Broadcasts(database, self.clock)
        self.stops = Stops(database)
        enders = Enders(self.registry, self.clock)
        self.registry.watcher = enders
        self.lease = GatewayLease(known, registry=self.registry, enders=enders)
        self.id = 0
        self.on_hold: Callable[[int], None] = _nothing
        self.on_order: list[Callable[[], None]] = []
        # Called after the cuts that a notification caused.
        self.on_heard: Callable[[], None] = _nothing
        # Called when a task has failed: without its lease or its listener, the node must not
        # continue.
        self.on_failed: Callable[[], None] = _nothing
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def begin(cls, known: Known, *, database: Database) -> Node:
        """Return a node that has its lease. Raises Unavailable."""
        node = cls(known, database=database, reading=await database.run(clock.sync))
        try:
            node.id = await node.lease.renew()
        except BaseException:
            node.lease.stop()
            raise
        return node

    def start(self) -> None:
        """Start to renew the lease and to listen."""
        self.keep(self.lease.keep(), "lease")
        heard = listen(
            on_grants=self._heard,
            on_hold=self.on_hold,
            on_order=self._ordered,
            on_watch=self.broadcasts.heard,
            on_stop=self.stops.heard,
            on_gap=self._catch_up,
        )
        self.keep(heard, "listener")
        self.keep(self.broadcasts.keep(), "broadcasts")
        self.keep(self.stops.keep(), "stops")

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine forever. If it fails, the node has failed."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._fell_over)
        self._tasks.append(task)

    async def close(self, reason: str) -> None:
        """Cut all sessions, and wait briefly until they have ended."""
        self._stopping = True
        self.registry.stop_all(reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SESSIONS_S):
                await self.registry.wait_empty()

    async def leave(self) -> bool:
        """Stop renewing and listening, and record that this gateway has stopped.

        Return whether all ends were reported.
        """
        self._stopping = True
        self.lease.stop()
        for task in self._tasks:
            await cancelled(task)
        await self.broadcasts.close()
        delivered = await self.registry.reports.wait(REPORTS_S)
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(ROW_S):
                await self._database.run(_stop, name=self._name)
        return delivered

    async def _heard(self, grant_ids: list[int]) -> None:
        # If this fails, the next renewal does the same.
        with contextlib.suppress(Unavailable):
            await self.lease.look(grant_ids)
        # This follows the cut, which is more urgent.
        self.on_heard()

    async def _catch_up(self) -> None:
        """Check everything about which notifications may have been missed."""
        self._ordered()
        self.broadcasts.heard_nothing()
        self.stops.heard_nothing()
        # If this fails, the next renewal does the same.
        with contextlib.suppress(Unavailable):
            await self.lease.renew()

    def _ordered(self) -> None:
        for call in self.on_order:
            call()

    def _fell_over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._stopping:
            log.error("gateway.part_failed", part=task.get_name(), error=repr(task.exception()))
            self.on_failed()


def _stop(*, name: str) -> None:
    stop_gateway(name=name, now=clock.now())


def _nothing(*_: object) -> None:
    """Do nothing, for endpoints that do not use this callback."""
