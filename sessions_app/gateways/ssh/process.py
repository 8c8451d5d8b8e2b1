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
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.lease import Known, Question
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.sweeper import Sweeper
from sessions_app.gateways.ssh.alone import Alone
from sessions_app.gateways.ssh.hostkey import host_key, public_line
from sessions_app.gateways.ssh.orders import Orders
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.server import SERVER_OPTIONS, Connection, Doorkeeper
from sessions_app.operations.sessions.stop_gateway import stop_gateway
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.queries.authority import active_ssh_ca, ssh_ca_private_key
from sessions_app.queries.recordings import Rooms

log = structlog.get_logger(__name__)

THREADS = 6
STOPPING = "the gateway is stopping"
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
        self._ca_fingerprint = ""
        self._stopping = ""
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
        known = Known(name=self._options.name, version=settings.VERSION, host_key=public_line(self._host_key))
        authority = Question(ask=self._newer_ca, take=self._take_ca)
        self._node = node = await Node.begin(known, database=self._database, question=authority)
        dialer = Dialer(
            self._current_ca, source_addresses=settings.SSH_SOURCE_ADDRESS, clock=node.clock.epoch
        )
        alone = Alone(node.registry, dialer, node.clock)
        holds = Holds()
        parts = Parts(
            database=self._database,
            clock=node.clock,
            dialer=dialer,
            holds=holds,
            reports=node.registry.reports,
            gateway_id=node.id,
            recordings=settings.RECORDINGS_DIR,
            alone=alone,
            rooms=Rooms(),
        )
        self._door = Doorkeeper(parts, node.registry, settings.PUBLIC_URL, self._closed_because)
        self._orders = Orders(parts, node.registry, is_closed=lambda: bool(self._door.closed_because))
        await self._database.warm()
        node.registry.reports.on_delivered = node.on_heard = self._sweeper.wake
        node.lease.on_renewed, node.on_hold, node.on_order = alone.renewed, holds.heard, self._orders.wake
        node.on_failed = self._stop.set
        node.start()
        node.keep(self._orders.keep(), "orders")
        node.keep(alone.keep(), "alone")
        self._sweeper.start()

    def _closed_because(self) -> str:
        return self._stopping or self._node.lease.lost

    def _current_ca(self) -> asyncssh.SSHKey:
        if self._ca is None:
            raise AssertionError
        return self._ca

    def _newer_ca(self) -> tuple[str, bytes] | None:
        """Return the signing key's fingerprint and private key when it is another than the one in use."""
        key = active_ssh_ca()
        if key is None or key.fingerprint == self._ca_fingerprint:
            return None
        return key.fingerprint, ssh_ca_private_key(key)

    def _take_ca(self, found: tuple[str, bytes] | None) -> None:
        if found is not None:
            self._ca_fingerprint, private_key = found
            self._ca = Authority(private_key).key()
            log.info("ca.in_use", fingerprint=self._ca_fingerprint)

    async def _shut_down(self) -> None:
        self._stopping = STOPPING
        self._sweeper.stop()
        await self._node.close(STOPPING)
        for connection in list(self._door.connections):
            connection.abort()
        await self._orders.stop()
        delivered = await self._node.leave()
        self._database.stop()
        log.info("gateway.stopped", delivered=delivered)


def _set_up(*, name: str) -> None:
    clock.sync()
    ensure_ssh_ca(now=clock.now())
    # Whatever a process of this name had open died with it.
    stop_gateway(name=name, now=clock.now(), reason="gateway restarted")
