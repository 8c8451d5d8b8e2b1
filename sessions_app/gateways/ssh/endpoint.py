"""The SSH endpoint: its host key, the authority that signs its certificates, its listener, and its orders."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import asyncssh
import structlog
from django.conf import settings

from broker.kernel import clock
from sessions_app.connectors.ssh.certificates import Authority
from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.lease import Question
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.orders import Orders
from sessions_app.gateways.ssh.alone import Alone
from sessions_app.gateways.ssh.hostkey import HostKeys
from sessions_app.gateways.ssh.orders import run_ordered
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.server import SERVER_OPTIONS, Admissions, Connection
from sessions_app.operations.sessions.renew_gateway import Renewed
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_USER_CA, active_authority, private_key_of
from sessions_app.queries.record.recording_files import Rooms

log = structlog.get_logger(__name__)

_LISTEN_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class _Open:
    """The parts of an open endpoint."""

    admissions: Admissions
    orders: Orders


class SSHEndpoint:
    """The SSH gateway. Source: RFC 4251 to 4254."""

    name = "ssh"

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._host_keys = HostKeys()
        self._ca: asyncssh.SSHKey | None = None
        self._ca_fingerprint = ""
        self._open: _Open | None = None
        self._server: asyncssh.SSHAcceptor | None = None

    async def open(self, shared: Shared) -> None:
        """Start to listen and to carry out orders. Raises OSError if the address is in use, and
        Unavailable.
        """
        await shared.database.run(_ensure_ca)
        await self._introduce(shared.node)
        self._open = opened = self._prepared(shared)
        self._server = await asyncssh.listen(
            self._host,
            self._port,
            server_factory=lambda: Connection(opened.admissions),
            server_host_keys=self._host_keys.keys,
            backlog=_LISTEN_BACKLOG,
            reuse_address=True,
            **SERVER_OPTIONS,
        )
        self._host_keys.on_change = functools.partial(self._use_host_keys, shared.node)
        log.info("ssh.listens", host=self._host, port=self._port)

    def drain(self) -> None:
        """Accept no new connections."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop listening immediately, abort every connection, and stop carrying out orders."""
        self.drain()
        if self._open is not None:
            for connection in list(self._open.admissions.connections):
                connection.abort()
            await self._open.orders.stop()

    async def _introduce(self, node: Node) -> None:
        """Load the host keys and the signing authority, now and at each renewal, and publish the host key."""
        self._host_keys.on_change = functools.partial(_publish, node, self._host_keys)
        node.lease.questions.append(Question(ask=self._host_keys.ask, take=self._host_keys.take))
        node.lease.questions.append(Question(ask=self._newer_ca, take=self._take_ca))
        await node.lease.renew()
        # The second renewal publishes the key that the first one loaded.
        await node.lease.renew()

    def _use_host_keys(self, node: Node) -> None:
        """Publish the current host keys and use them on new connections."""
        _publish(node, self._host_keys)
        if self._server is not None:
            self._server.update(server_host_keys=self._host_keys.keys)

    def _prepared(self, shared: Shared) -> _Open:
        node = shared.node
        dialer = Dialer(
            self._current_ca, source_addresses=settings.SSH_SOURCE_ADDRESS, clock=node.clock.epoch
        )
        alone = Alone(node.registry, dialer, node.clock)
        parts = Parts(
            database=shared.database,
            clock=node.clock,
            dialer=dialer,
            holds=shared.holds,
            reports=node.registry.reports,
            gateway_id=node.id,
            recordings=settings.RECORDINGS_DIR,
            alone=alone,
            rooms=Rooms(),
            broadcasts=node.broadcasts,
            stops=node.stops,
        )
        orders = Orders(shared, "ssh", functools.partial(run_ordered, parts, node.registry))
        node.lease.on_renewed.append(alone.renewed)
        orders.begin()
        node.keep(alone.keep(), "alone")
        return _Open(Admissions(parts, node.registry, settings.PUBLIC_URL, shared.closed_because), orders)

    def _current_ca(self) -> asyncssh.SSHKey:
        if self._ca is None:
            raise AssertionError
        return self._ca

    def _newer_ca(self, renewed: Renewed) -> tuple[str, bytes] | None:
        """Return the fingerprint and the private key of the active signing key; None if this key is already
        in use.
        """
        if f"{self._ca_fingerprint}t" in renewed.keys:
            return None
        key = active_authority(SSH_USER_CA)
        if key is None or key.fingerprint == self._ca_fingerprint:
            return None
        return key.fingerprint, private_key_of(key)

    def _take_ca(self, found: tuple[str, bytes] | None) -> None:
        if found is not None:
            self._ca_fingerprint, private_key = found
            self._ca = Authority(private_key).key()
            log.info("ca.in_use", fingerprint=self._ca_fingerprint)


def _publish(node: Node, keys: HostKeys) -> None:
    node.lease.known = replace(node.lease.known, host_key=keys.public)


def _ensure_ca() -> None:
    ensure_authority(SSH_USER_CA, now=clock.now())
