"""The gateway's connection to a target, logged in as the role of a grant.

The role's password is derived from a key, so that every gateway knows the password without storing it.
Sources: PostgreSQL's documentation, "Message Flow" and "SASL Authentication"; libpq's, for sslmode.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.postgres.parameters import PostgresParameters, parameters_of
from sessions_app.gateways.postgres import scram, wire
from sessions_app.gateways.postgres.streams import Pushing, Receiving
from sessions_app.gateways.postgres.wire import Closed, Fields, Messages, ProtocolError

# Seconds to connect and log in.
CONNECT_S = 10.0
# Bytes: the largest message from a target, such as one row.
LARGEST = 16 * 1024 * 1024
_OK, _CLEARTEXT, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 10, 11, 12
# The server must have these settings, because they affect how statements are read.
FIXED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}


class NotConnected(Exception):
    """The target can't be used. The arguments are the SQLSTATE for the client, and the reason."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(slots=True)
class Upstream:
    """A connection that is ready for statements. ``key`` can cancel them; ``statuses`` has its
    ParameterStatus messages.
    """

    place: TargetSpec
    messages: Messages
    writer: asyncio.StreamWriter
    key: bytes = b""
    statuses: list[bytes] = field(default_factory=list)

    def abort(self) -> None:
        """Close the connection immediately."""
        cast("asyncio.Transport", self.writer.transport).abort()

    async def cancel(self) -> None:
        """Ask the target to cancel the running statement.

        Failures are ignored, because the connection is closed next.
        """
        with contextlib.suppress(OSError, NotConnected, Closed):
            async with asyncio.timeout(CONNECT_S):
                _, writer = await _streams(self.place)
                writer.write(wire.cancel(self.key))
                await writer.drain()
                writer.close()


async def connect(place: TargetSpec, user: str, password: str, settings: Mapping[str, str]) -> Upstream:
    """Log in to a target's database with these settings. Raises NotConnected."""
    name = place.target.name
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await _streams(place)
            made = Upstream(place, Messages(reader, most=LARGEST), writer)
            try:
                database = parameters_of(place).database
                said = {"user": user, "database": database, **FIXED, **settings}
                writer.write(wire.startup(said))
                await _log_in(made, password)
                await _ready(made)
            except BaseException:
                made.abort()
                raise
            return made
    except TimeoutError as error:
        raise NotConnected("08001", f"{name} did not respond.") from error
    except (OSError, Closed) as error:
        raise NotConnected("08001", f"{name} can't be reached.") from error
    except (ProtocolError, scram.ScramError) as error:
        raise NotConnected("08P01", f"{name} sent an unexpected response: {error}.") from error


async def _streams(place: TargetSpec) -> tuple[Pushing, asyncio.StreamWriter]:
    """Connect, with the TLS that the cluster requires. Raises OSError, Closed and NotConnected."""
    parameters, name = parameters_of(place), place.target.name
    sock = await _socket(place.target.address, place.target.port)
    try:
        encrypted = parameters.sslmode != "disable" and await _takes_tls(sock)
        if not encrypted and parameters.sslmode not in ("disable", "prefer"):
            raise NotConnected("08001", f"{name} does not offer TLS, which its cluster requires.")
    except BaseException:
        sock.close()
        raise
    try:
        if not encrypted:
            return await _opened(sock)
        return await _opened(sock, ssl=_context(parameters), server_hostname=place.target.address)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
        raise NotConnected("08001", f"The TLS connection to {name} failed: {reason}.") from error


async def _opened(sock: socket.socket, **tls: Any) -> tuple[Pushing, asyncio.StreamWriter]:
    reader = Pushing()
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: Receiving(reader), sock=sock, **tls
    )
    return reader, protocol.writing(transport)


async def _socket(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    problem: OSError = ConnectionError("the target has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise problem


async def _takes_tls(sock: socket.socket) -> bool:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, wire.ssl_request())
    answer = await loop.sock_recv(sock, 1)
    if answer not in (b"S", b"N"):
        raise Closed
    return answer == b"S"


def _context(parameters: PostgresParameters) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=parameters.sslrootcert or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = parameters.sslmode == "verify-full"
    if not parameters.sslmode.startswith("verify"):
        context.verify_mode = ssl.CERT_NONE
    return context


async def _log_in(made: Upstream, password: str) -> None:
    """Authenticate. Raises the errors that ``connect`` converts."""
    verified = parameters_of(made.place).sslmode.startswith("verify")
    login = scram.Client(password)
    asked = proven = False  # only SCRAM makes the server prove that it knows the password
    while True:
        kind, content = await made.messages.next()
        if kind == wire.ERROR:
            raise _refused(made.place, content)
        if kind == wire.NOTICE:
            continue
        if kind != wire.AUTHENTICATION:
            raise ProtocolError("the target did not ask for a password")
        fields = Fields(content)
        method = fields.integer()
        if method == _OK and proven == asked:
            return
        if method == _CLEARTEXT and verified:
            made.writer.write(wire.message(b"p", wire.string(password)))
        elif method == _SASL and scram.PLAIN.encode() in content[4:].split(b"\0"):
            first, asked = login.first(), True
            length = len(first).to_bytes(4, "big")
            made.writer.write(wire.message(b"p", wire.string(scram.PLAIN), length, first))
        elif method == _SASL_CONTINUE and asked:
            made.writer.write(wire.message(b"p", login.final(fields.data(fields.left))))
        elif method == _SASL_FINAL and asked:
            login.check(fields.data(fields.left))
            proven = True
        else:
            raise NotConnected(
                "08P01",
                f"{made.place.target.name} must let the role log in by scram-sha-256: see pg_hba.conf.",
            )


async def _ready(made: Upstream) -> None:
    """Read until the target is ready for statements."""
    known: dict[str, str] = {}
    while True:
        kind, content = await made.messages.next()
        if kind == wire.STATUS:
            fields = Fields(content)
            name, value = fields.string(), fields.string()
            known[name] = value
            made.statuses.append(wire.message(wire.STATUS, content))
        elif kind == wire.KEY_DATA:
            made.key = content
        elif kind == wire.ERROR:
            raise _refused(made.place, content)
        elif kind == wire.READY:
            break
        elif kind != wire.NOTICE:
            raise ProtocolError("the target was not ready")
    for name, value in FIXED.items():
        if known.get(name) != value:
            raise ProtocolError(f"{name} is {known.get(name)}")


def _refused(place: TargetSpec, content: bytes) -> NotConnected:
    said = wire.read_error(content)
    return NotConnected(said.get("C", "08004"), f"{place.target.name}: {said.get('M', 'login refused')}.")
