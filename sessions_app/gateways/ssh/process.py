"""The gateway as a process: what it is made of, how it starts, and how it stops without ending a grant."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from dataclasses import dataclass

import asyncssh
import structlog
from django.conf import settings
from prometheus_client import start_http_server

from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.enders import Enders
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.lease import Lease
from sessions_app.gateways.core.listener import cancelled, listen
from sessions_app.gateways.core.registry import Registry
from sessions_app.gateways.core.reports import Reports
from sessions_app.gateways.core.sweeper import Sweeper
from sessions_app.gateways.ssh.alone import Alone
from sessions_app.gateways.ssh.hostkey import host_key, public_line
from sessions_app.gateways.ssh.orders import Orders
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.server import SERVER_OPTIONS, Connection, Doorkeeper
from sessions_app.operations.sessions.stop_gateway import stop_gateway
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.queries.recordings import Rooms

log = structlog.get_logger(__name__)

THREADS = 6
STOPPING = "the gateway is stopping"
# All together it is gone within 5 s.
REPORT_TIMEOUT, SESSION_TIMEOUT = 2.0, 1.5
_LISTEN_BACKLOG = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the gateway listens, and by which name it is known. ``metrics_port`` 0: no metrics of its own."""

    host: str
    port: int
    name: str
    metrics_port: int = 0


def raise_file_limit() -> None:
    """Two descriptors a session add up: take as many as the system lets this account have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Gateway:
    """All parts of one gateway, in one event loop."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._database = Database(threads=THREADS, name="gateway")
        self._stop = asyncio.Event()
        self._host_key = host_key(settings.STATE_DIR)
        self._ca: asyncssh.SSHKey | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeper = Sweeper(options.name)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises Unavailable without a database, and OSError for an address in use."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._prepare()
        server = await asyncssh.listen(
            self._options.host,
            self._options.port,
            server_factory=lambda: Connection(self._door),
            server_host_keys=[self._host_key],
            backlog=_LISTEN_BACKLOG,
            reuse_address=True,
            **SERVER_OPTIONS,
        )
        if self._options.metrics_port:
            start_http_server(self._options.metrics_port, addr="127.0.0.1")
        log.info("gateway.ready", host=self._options.host, port=self._options.port, name=self._options.name)
        try:
            await self._stop.wait()
        finally:
            server.close()
            await self._shut_down()

    async def _prepare(self) -> None:
        await self._database.run(_set_up, name=self._options.name)
        reading = await self._database.run(clock.sync)
        self._clock = LoopClock(reading.database, reading.monotonic)
        reports = Reports(self._database)
        self._registry = Registry(reports, self._clock)
        dialer = Dialer(
            self._current_ca, source_addresses=settings.SSH_SOURCE_ADDRESS, clock=self._clock.epoch
        )
        alone = Alone(self._registry, dialer, self._clock)
        enders = Enders(self._registry, self._clock)
        self._registry.watcher = enders
        self._lease = Lease(
            name=self._options.name,
            version=settings.VERSION,
            host_key=public_line(self._host_key),
            registry=self._registry,
            enders=enders,
            loop_clock=self._clock,
            on_ca=self._take_ca,
            on_change=self._open_or_close,
            on_renewed=alone.renewed,
        )
        holds = Holds()
        parts = Parts(
            database=self._database,
            clock=self._clock,
            dialer=dialer,
            holds=holds,
            reports=reports,
            gateway_id=await self._lease.renew(),
            recordings=settings.RECORDINGS_DIR,
            alone=alone,
            rooms=Rooms(),
        )
        reports.on_delivered = self._sweeper.wake
        self._door = Doorkeeper(parts, self._registry, settings.PUBLIC_URL)
        self._orders = Orders(parts, self._registry, is_closed=lambda: bool(self._door.closed_because))
        await self._database.warm()
        self._tasks = [
            asyncio.create_task(self._lease.keep(), name="lease"),
            asyncio.create_task(
                listen(
                    on_grants=self._heard,
                    on_hold=holds.heard,
                    on_order=self._orders.wake,
                    on_gap=self._catch_up,
                ),
                name="listener",
            ),
            asyncio.create_task(self._orders.keep(), name="orders"),
            asyncio.create_task(alone.keep(), name="alone"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._fell_over)
        self._sweeper.start()

    async def _heard(self, grant_ids: list[int]) -> None:
        # What fails here is caught up by the next renewal.
        with contextlib.suppress(Unavailable):
            await self._lease.look(grant_ids)
        # After the cut, which is the more urgent one.
        self._sweeper.wake()

    async def _catch_up(self) -> None:
        """Look at all that notifications may have told while nobody listened."""
        self._orders.wake()
        # What fails here is caught up by the next renewal.
        with contextlib.suppress(Unavailable):
            await self._lease.renew()

    def _current_ca(self) -> asyncssh.SSHKey:
        if self._ca is None:
            raise AssertionError
        return self._ca

    def _take_ca(self, fingerprint: str, private_key: bytes) -> None:
        self._ca = Authority(private_key).key()
        log.info("ca.in_use", fingerprint=fingerprint)

    def _open_or_close(self, why_closed: str) -> None:
        self._door.closed_because = why_closed

    def _fell_over(self, task: asyncio.Task[None]) -> None:
        """A gateway that keeps no lease or hears nothing may not go on as if it did."""
        if not task.cancelled() and not self._stop.is_set():
            log.error("gateway.part_failed", part=task.get_name(), error=repr(task.exception()))
            self._stop.set()

    async def _shut_down(self) -> None:
        self._door.closed_because = STOPPING
        self._sweeper.stop()
        self._registry.stop_all(STOPPING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SESSION_TIMEOUT):
                await self._registry.wait_empty()
        for connection in list(self._door.connections):
            connection.abort()
        await self._orders.stop()
        self._lease.stop()
        for task in self._tasks:
            await cancelled(task)
        delivered = await self._registry.reports.wait(REPORT_TIMEOUT)
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._database.run(_stop, name=self._options.name)
        self._database.stop()
        log.info("gateway.stopped", delivered=delivered)


def _set_up(*, name: str) -> None:
    clock.sync()
    ensure_ssh_ca(now=clock.now())
    # Whatever a process of this name had open died with it.
    stop_gateway(name=name, now=clock.now(), reason="gateway restarted")


def _stop(*, name: str) -> None:
    stop_gateway(name=name, now=clock.now())
