"""The gateway process: the start and stop of one node with its endpoints. A stop ends no grant."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings

from broker.kernel import clock
from broker.kernel.errors import StintError, Unavailable
from broker.kernel.garbage import freeze_loaded
from broker.kernel.metrics import serve_metrics
from broker.processes.watchdog import report
from sessions_app.gateways.core.attempts import tries_of
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.endpoint import Endpoint, Shared
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.lease import Known
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.spool import Spool
from sessions_app.gateways.core.sweeper import Sweeper
from sessions_app.operations.sessions.stop_gateway import stop_gateway

log = structlog.get_logger(__name__)

# One of these threads is for the sweeper's other tasks, besides ends.
THREADS = 7
# In seconds. The event loop must respond within this time to count as alive.
_TURN_S = 5.0
# Seconds between attempts while the database does not respond at startup.
_AGAIN_S = 1.0
STOPPING = "the gateway is stopping"


class CannotListen(StintError):
    """A gateway can't listen at its address: the address is taken, reserved, or not one of this machine's.

    Change the address, or stop the process that uses it.
    """

    code = "cannot_listen"
    status = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The gateway's name. ``metrics_port`` 0 means no separate metrics endpoint."""

    name: str
    metrics_port: int = 0


def raise_file_limit() -> None:
    """Raise the limit of open files as far as the system allows, because each session needs two
    descriptors.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Gateway:
    """One node and its endpoints, in one event loop."""

    def __init__(self, options: Options, endpoints: Sequence[Endpoint]) -> None:
        self._options, self._endpoints = options, endpoints
        self._database = Database(threads=THREADS, name="gateway")
        self._holds = Holds()
        self._stop, self._drain = asyncio.Event(), asyncio.Event()
        self._stopping = ""
        self._sweeper = Sweeper(options.name, self._database, gateways=self._count)
        self._spool = Spool()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until open sessions have ended after SIGUSR1.

        Waits for the database at startup. Raises CannotListen, and an endpoint's errors about invalid
        settings.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._drain.set)
        try:
            if not await self._begun():
                return
            try:
                await self._serve()
            finally:
                await self._shut_down()
        finally:
            self._database.stop()

    async def _begun(self) -> bool:
        """Start as soon as the database responds. Return False if the process has to stop before that."""
        while not self._stop.is_set():
            try:
                await self._begin()
            except Unavailable as error:
                log.warning("gateway.waits", error=str(error))
                await _first_of(self._stop.wait(), asyncio.sleep(_AGAIN_S))
            else:
                return True
        return False

    async def _begin(self) -> None:
        name = self._options.name
        await self._database.run(_set_up, name=name)
        self._node = node = await Node.begin(
            Known(name=name, version=settings.VERSION), database=self._database
        )
        node.registry.reports.on_delivered = node.on_heard = self._sweeper.wake
        node.on_hold, node.on_failed = self._holds.heard, self._stop.set
        node.lease.on_fewer = self._sweeper.wake

    async def _serve(self) -> None:
        await self._database.warm()
        self._node.start()
        self._sweeper.start()
        self._spool.start()
        shared = Shared(
            self._database,
            self._node,
            self._holds,
            self._options.name,
            closed_because=self._closed_because,
            tries=tries_of(self._database),
        )
        for endpoint in self._endpoints:
            await _opened(endpoint, shared)
        serve_metrics(settings.METRICS_HOST, self._options.metrics_port)
        freeze_loaded()
        report(_turns(asyncio.get_running_loop()))
        log.info(
            "gateway.ready",
            name=self._options.name,
            endpoints=[endpoint.name for endpoint in self._endpoints],
        )
        await _first_of(self._stop.wait(), self._drain.wait())
        if not self._stop.is_set():
            await self._drained()

    async def _drained(self) -> None:
        """Accept no new connections, and wait until running commands have ended, the time limit has
        passed, or SIGTERM arrives.
        """
        minutes, registry = settings.GATEWAY_DRAIN_MINUTES, self._node.registry
        for endpoint in self._endpoints:
            endpoint.drain()
        log.info("gateway.drains", minutes=minutes, sessions=len(registry.sessions()))
        registry.tell_all(
            f"This gateway restarts within {minutes} min. Your grant continues: connect again after that."
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(minutes * 60):
                await _first_of(registry.wait_idle(), self._stop.wait())

    def _count(self) -> int:
        return self._node.lease.gateways

    def _closed_because(self) -> str:
        return self._stopping or self._node.lease.lost

    async def _shut_down(self) -> None:
        self._stopping = STOPPING
        self._sweeper.stop()
        self._spool.stop()
        await self._node.close(STOPPING)
        for endpoint in self._endpoints:
            await _closed(endpoint)
        log.info("gateway.stopped", delivered=await self._node.leave())


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the tasks has ended, and cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _opened(endpoint: Endpoint, shared: Shared) -> None:
    try:
        await endpoint.open(shared)
    except OSError as error:
        raise CannotListen(f"The {endpoint.name} gateway can't start: {error.strerror or error}.") from error


async def _closed(endpoint: Endpoint) -> None:
    """Close an endpoint. If that fails, the others are still closed."""
    try:
        await endpoint.close()
    except Exception as error:  # the process must still record its stop in the database
        log.exception("gateway.endpoint_not_closed", endpoint=endpoint.name, error=type(error).__name__)


def _turns(loop: asyncio.AbstractEventLoop) -> Callable[[], bool]:
    """Return a function for other threads that returns whether the event loop still runs."""

    def turns() -> bool:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        return turned.wait(_TURN_S)

    return turns


def _set_up(*, name: str) -> None:
    clock.sync()
    # All sessions of an earlier process with this name ended with that process.
    stop_gateway(name=name, now=clock.now(), reason="gateway restarted")
