"""Connections to targets: one for each command, with a certificate minted during the handshake."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE

from broker.kernel.gathering import Gathering
from broker.kernel.receiving import receive_buffer
from sessions_app.connectors.base import ConnectorError, TargetSpec
from sessions_app.connectors.ssh.certificates import Credential, mint
from sessions_app.connectors.ssh.options import CLOSED, HOST_CERTIFICATES, HOST_KEYS
from sessions_app.connectors.ssh.setup import principal_of
from sessions_app.policy.scope import TargetFacts

# sshd randomly drops connections while more than ten are unauthenticated (MaxStartups).
HANDSHAKES = 4
ATTEMPTS = 5
CONNECT_TIMEOUT = 8.0
KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 5, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """The purpose of one connection: the serial number and key ID for the target's log, and the forced
    command.
    """

    serial: int
    key_id: str
    command: str


class _Client(asyncssh.SSHClient):
    """Authenticates with one certificate, once, as soon as it is available."""

    def __init__(self, credential: Callable[[], Awaitable[Credential]]) -> None:
        self._credential: Callable[[], Awaitable[Credential]] | None = credential
        self.authenticated = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        gather(conn)

    async def public_key_auth_requested(self) -> list[asyncssh.SSHKeyPair] | None:  # type: ignore[override]  # awaitable
        # A second request means that the certificate was refused. A retry would only earn the gateway a
        # penalty on the target.
        if self._credential is None:
            return None
        wanted, self._credential = self._credential, None
        made = await wanted()
        # Excludes the bare key, which no target trusts. It would otherwise be offered after its certificate.
        return list(asyncssh.load_keypairs([(made.key, made.certificate)]))[:1]

    def auth_completed(self) -> None:
        self.authenticated = True


class Dialer:
    """Opens connections to targets from one event loop, with a few handshakes at a time for each target."""

    def __init__(
        self,
        ca: Callable[[], asyncssh.SSHKey],
        *,
        source_addresses: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        handshakes: int = HANDSHAKES,
    ) -> None:
        """``source_addresses`` go into certificates; empty means the local address of each connection."""
        self._ca = ca
        self._sources = tuple(source_addresses)
        self._clock = clock
        self._handshakes = handshakes
        self._slots: dict[tuple[str, int], asyncio.Semaphore] = {}

    async def dial(
        self, place: TargetSpec, errand: Callable[[], Awaitable[Errand]]
    ) -> asyncssh.SSHClientConnection:
        """Return an authenticated connection. Raises ConnectorError.

        ``errand`` is awaited when the target requests authentication, so the handshake can start before the
        errand is known. A connection that is lost before then is retried, because no command can have run.
        """
        target, known = place.target, known_hosts(place.target, place.host_ca)
        slot = self._slots.setdefault((target.address, target.port), asyncio.Semaphore(self._handshakes))
        for attempt in range(ATTEMPTS):
            async with slot:
                try:
                    return await self._attempt(place, known, errand)
                except _Lost as lost:
                    if attempt == ATTEMPTS - 1:
                        raise unreachable(target, lost.why) from lost
            await asyncio.sleep((0.05 + random.random() * 0.1) * 2**attempt)  # noqa: S311  # spreads retries
        raise AssertionError

    async def _attempt(
        self,
        place: TargetSpec,
        known: tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]],
        errand: Callable[[], Awaitable[Errand]],
    ) -> asyncssh.SSHClientConnection:
        target, principal = place.target, principal_of(place.cluster)
        sock = await connect_tcp(target)
        source = sock.getsockname()[0].partition("%")[0]

        async def credential() -> Credential:
            wanted = await errand()
            return mint(
                self._ca(),
                principal=principal,
                serial=wanted.serial,
                key_id=wanted.key_id,
                force_command=wanted.command,
                source_addresses=self._sources or (source,),
                now=self._clock(),
            )

        client = _Client(credential)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await asyncssh.connect(
                    target.address,
                    target.port,
                    sock=sock,
                    client_factory=lambda: client,
                    username=target.account,
                    known_hosts=known,
                    server_host_key_algs=_proofs(known[0]),
                    **CLIENT_OPTIONS,
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise ConnectorError(
                f"{target.name} does not present the host key in the catalog. If it was reinstalled, "
                "update its host key in the catalog. Otherwise, find out which host is responding.",
                permanent=True,
            ) from error
        except asyncssh.PermissionDenied as error:
            raise ConnectorError(
                f"{target.name} did not accept Stint's certificate for {principal} as {target.account}. "
                f"Run `manage.py ssh_check {place.cluster}` to see what to fix.",
                permanent=True,
            ) from error
        except TimeoutError as error:
            raise unreachable(target, f"no response within {CONNECT_TIMEOUT:.0f} s") from error
        except (asyncssh.Error, OSError) as error:
            if client.authenticated or isinstance(error, asyncssh.KeyExchangeFailed):
                raise unreachable(target, str(error)) from error
            raise _Lost(str(error)) from error
        finally:
            if not client.authenticated:
                sock.close()


CLIENT_OPTIONS: dict[str, Any] = {
    **CLOSED,
    "host_key_alias": None,
    # A target that requires no authentication would not be bound by the certificate's command.
    "disable_trivial_auth": True,
    "client_host_keysign": False,
    "client_host_keys": None,
    "client_host_certs": [],
    "client_username": "stint",
    "client_keys": None,
    "client_certs": [],
    "ignore_encrypted": False,
    "gss_delegate_creds": False,
    "preferred_auth": ["publickey"],
    "agent_path": None,
    "agent_identities": None,
    "pkcs11_provider": None,
    "command": None,
    "env": None,
    "send_env": None,
    "request_pty": False,
    "keepalive_interval": KEEPALIVE_INTERVAL,
    "keepalive_count_max": KEEPALIVE_COUNT,
    "login_timeout": 0,
    "client_version": "Stint",
}


def gather(connection: asyncssh.SSHClientConnection | asyncssh.SSHServerConnection) -> None:
    """Make a new connection exchange data with less work.

    It sends all packets of one event loop iteration together, and leaves out the empty messages that the
    library adds to each packet: they protect only CBC, which `CIPHERS` does not contain. It takes data in
    pieces, because the library copies everything that it has not yet read for each packet.
    """
    transport = connection._transport  # noqa: SLF001  # no public way
    connection._transport = Gathering(transport)  # type: ignore[assignment,arg-type]  # noqa: SLF001
    connection.send_packet = partial(_send, connection.send_packet)  # type: ignore[method-assign]
    if transport is not None:
        transport.set_protocol(_Pieces(connection))


def _send(send: Callable[..., None], kind: int, *parts: bytes, handler: object = None) -> None:
    if kind != MSG_IGNORE:
        send(kind, *parts, handler=handler)


class _Pieces(asyncio.BufferedProtocol):
    """Passes everything on to a connection, and data in pieces."""

    def __init__(self, connection: asyncssh.SSHClientConnection | asyncssh.SSHServerConnection) -> None:
        self._connection, self._buffer = connection, receive_buffer()
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.data_received(bytes(self._buffer[:nbytes]))


def cut(connection: asyncssh.SSHClientConnection) -> None:
    """Close a connection immediately, so that its target is notified before this returns.

    ``abort`` alone closes the socket in a later iteration of the event loop, which takes long when
    hundreds of connections are cut together.
    """
    of_loop = connection.get_extra_info("socket")
    if of_loop is not None:
        # Not every socket wrapper of an event loop has its own `shutdown`.
        with contextlib.suppress(OSError):
            same = socket.socket(fileno=of_loop.fileno())
            try:
                same.shutdown(socket.SHUT_RDWR)
            finally:
                same.detach()
    connection.abort()


class _Lost(Exception):
    """The connection was lost before the target requested authentication."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def unreachable(target: TargetFacts, why: str) -> ConnectorError:
    """Return the error for a target that can't be reached."""
    return ConnectorError(f"{target.name} ({target.address} port {target.port}) can't be reached: {why}.")


async def connect_tcp(target: TargetFacts) -> socket.socket:
    """Return a connected socket. Raises ConnectorError."""
    loop = asyncio.get_running_loop()
    why = "the host name has no address"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            for family, kind, protocol, _, address in await _resolved(target):
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    why = _words(error)
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError:
        why = f"no response within {CONNECT_TIMEOUT:.0f} s"
    except OSError as error:
        why = _words(error)
    except UnicodeError:
        why = "the host name is not valid"
    raise unreachable(target, why)


async def _resolved(target: TargetFacts) -> Sequence[tuple[Any, ...]]:
    """Return a target's addresses, as `getaddrinfo` does. Only names are resolved in another thread."""
    try:
        return socket.getaddrinfo(
            target.address, target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(target.address, target.port, type=socket.SOCK_STREAM)


def _words(error: OSError) -> str:
    # The event loop's text contains the address, so the reason is derived from the error number.
    known = error.errno is not None and error.errno > 0 and not isinstance(error, socket.gaierror)
    return (os.strerror(error.errno or 0) if known else error.strerror or str(error)).lower()


def known_hosts(
    target: TargetFacts, host_ca: str
) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
    """Return the keys that verify the host: its pinned keys, or else the cluster's host CA.

    Raises ConnectorError. An invalid pinned key is also an error, because the CA was not meant to replace it.
    """
    pinned = read_public_keys(target.host_key.splitlines())
    if target.host_key.strip() and not pinned:
        raise ConnectorError(
            f"The host key of {target.name} in the catalog can't be read. Copy the "
            "output of `cat /etc/ssh/ssh_host_ed25519_key.pub` on the target.",
            permanent=True,
        )
    trusted = [] if pinned else read_public_keys(host_ca.splitlines())
    if not pinned and not trusted:
        raise ConnectorError(
            f"{target.name} has no host key, and its cluster has no host CA, so it can't be verified. "
            "Add either one to the catalog.",
            permanent=True,
        )
    return pinned, trusted, []


def _proofs(pinned: Sequence[asyncssh.SSHKey]) -> list[str]:
    """Return the algorithms with which a host may authenticate: those of its pinned keys, or else of
    certificates.

    With only a CA, bare keys are also offered here, so that the error can name the unexpected key.
    """
    if not pinned:
        return [*HOST_CERTIFICATES, *HOST_KEYS]
    return [name for name in HOST_KEYS if any(name.encode() in key.sig_algorithms for key in pinned)]


def read_public_keys(lines: Iterable[str]) -> list[asyncssh.SSHKey]:
    """Parse keys in OpenSSH's one-line form, optionally preceded by host names. Other lines are skipped."""
    keys = []
    for line in lines:
        words = line.split()
        for start in range(min(len(words), 3)):
            with contextlib.suppress(asyncssh.KeyImportError):
                keys.append(asyncssh.import_public_key(" ".join(words[start : start + 2])))
                break
    return keys
