"""A local port for clients of PostgreSQL, which logs in for them with the grant's credential.

Source: PostgreSQL's documentation, "Message Flow", "Message Formats" and "SASL Authentication".
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from .localport import LocalPort, Streams, is_own, relay
from .scram import MECHANISM, Client, ScramError

_VERSION, _TLS, _GSS, _CANCEL = 3, 80877103, 80877104, 80877102
_OK, _CLEARTEXT, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 10, 11, 12
_WRONG_PASSWORD = b"C28P01\0"
# Seconds to connect and log in, and bytes of one message before the login.
_LOGIN_S, _LONGEST = 30.0, 64 * 1024


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in: at the gateway, or at a server. ``ca``: PEM certificates; empty for the system's."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    ca: str
    check_host: bool = True


class Refused(Exception):
    """The connection ends with an error. The argument is the content of the ErrorResponse."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        super().__init__(content)


@dataclass
class Messages(Streams):
    """One side of a connection, in messages of the protocol."""

    async def message(self) -> tuple[bytes, bytes]:
        """Return the type and the content of the next message. Raises Refused, and EOFError at the end."""
        head = await self.reader.readexactly(5)
        return head[:1], await self.reader.readexactly(_length(head[1:]))

    def send(self, kind: bytes, *parts: bytes) -> None:
        """Send a message."""
        content = b"".join(parts)
        self.writer.write(kind + (len(content) + 4).to_bytes(4, "big") + content)


class Tunnel(LocalPort):
    """Serves a local port. ``renew`` returns a new login, after the previous one was replaced."""

    def __init__(self, login: Login, renew: Callable[[], Awaitable[Login]], *, password: str = "") -> None:
        """With ``password``, clients have to enter it. Without, only the user's own programs can connect."""
        super().__init__()
        self._login, self._renew, self._password = login, renew, password
        self._renewing = asyncio.Lock()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Messages(reader, writer)
        try:
            async with asyncio.timeout(_LOGIN_S):
                server = await self._connected(client)
            if server is not None:
                await relay(client, server)
        except Refused as refused:
            client.send(b"E", refused.content)
            with contextlib.suppress(OSError):
                await client.writer.drain()
        except (EOFError, OSError):
            pass

    async def _connected(self, client: Messages) -> Messages | None:
        """Return the connection to the server once it is logged in; None if there was only a request to
        cancel a statement.
        """
        code, content = await _first(client)
        if not self._password:
            _check_peer(client.writer)
        try:
            if code == _CANCEL:
                server = await _encrypted(self._login)
                server.writer.write((len(content) + 4).to_bytes(4, "big") + content)
                await server.writer.drain()
                server.writer.close()
                return None
            if code >> 16 != _VERSION:
                raise Refused(_error("0A000", "Only version 3 of PostgreSQL's protocol is supported."))
            await self._check_password(client)
            return await self._logged_in(client, content)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "verify_message", "") or str(error) or "no response"
            raise Refused(
                _error("08001", f"{self._login.host}:{self._login.port} can't be reached: {why}.")
            ) from error
        except ScramError as error:
            raise Refused(_error("08P01", f"The login failed: {error}.")) from error

    async def _check_password(self, client: Messages) -> None:
        if not self._password:
            return
        client.send(b"R", _CLEARTEXT.to_bytes(4, "big"))
        kind, content = await client.message()
        if kind != b"p" or not hmac.compare_digest(content, self._password.encode() + b"\0"):
            raise Refused(_error("28P01", "The password is not the one that `stint tunnel` printed."))

    async def _logged_in(self, client: Messages, content: bytes) -> Messages:
        used = self._login
        try:
            return await _log_in(client, content, used)
        except Refused as refused:
            if _WRONG_PASSWORD not in refused.content:
                raise
        async with self._renewing:
            if self._login is used:
                self._login = await self._renew()
        return await _log_in(client, content, self._login)


def _check_peer(writer: asyncio.StreamWriter) -> None:
    if not is_own(writer):
        raise Refused(_error("28000", "Only the account that started the tunnel can connect."))


async def _first(client: Messages) -> tuple[int, bytes]:
    """Return the code and the content of the client's startup. Encryption is declined, because the connection
    does not leave this machine.
    """
    while True:
        content = await client.reader.readexactly(_length(await client.reader.readexactly(4)))
        code = int.from_bytes(content[:4], "big")
        if code not in (_TLS, _GSS):
            return code, content
        client.writer.write(b"N")


def _length(head: bytes) -> int:
    length = int.from_bytes(head, "big") - 4
    if not 0 <= length <= _LONGEST:
        raise Refused(_error("08P01", "A message before the login has a wrong length."))
    return length


async def _encrypted(login: Login) -> Messages:
    """Connect with verified TLS. Raises OSError."""
    loop = asyncio.get_running_loop()
    # In a thread, because the library has no nonblocking way to try each address of a host.
    sock = await asyncio.to_thread(socket.create_connection, (login.host, login.port), 10)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_sendall(sock, (8).to_bytes(4, "big") + _TLS.to_bytes(4, "big"))
        if await loop.sock_recv(sock, 1) != b"S":
            raise ConnectionError("the server does not offer TLS")
    except BaseException:
        sock.close()
        raise
    context = ssl.create_default_context(cadata=login.ca or None)
    context.check_hostname = login.check_host
    return Messages(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname=login.host))


async def _log_in(client: Messages, content: bytes, login: Login) -> Messages:
    """Log in for a client, with its settings. Raises Refused, ScramError and OSError."""
    server = await _encrypted(login)
    try:
        said = content[:4] + _startup(content[4:], login)
        server.writer.write((len(said) + 4).to_bytes(4, "big") + said)
        proof = Client(login.password)
        while True:
            kind, body = await server.message()
            code = int.from_bytes(body[:4], "big")
            if kind == b"E":
                raise Refused(body)
            if kind != b"R":
                client.send(kind, body)
            elif code == _SASL:
                _choose(server, body[4:], proof)
            elif code == _SASL_CONTINUE:
                server.send(b"p", proof.final(body[4:]))
            elif code == _SASL_FINAL:
                proof.check(body[4:])
            elif code == _OK:
                client.send(b"R", body)
                return server
            else:
                raise ScramError("the server does not use SCRAM-SHA-256")
    except EOFError as error:
        server.writer.close()
        raise ConnectionError("the connection was closed during the login") from error
    except BaseException:
        server.writer.close()
        raise


def _choose(server: Messages, offered: bytes, proof: Client) -> None:
    if MECHANISM not in offered.split(b"\0"):
        raise ScramError("the server does not offer SCRAM-SHA-256")
    first = proof.first()
    server.send(b"p", MECHANISM + b"\0", len(first).to_bytes(4, "big"), first)


def _startup(content: bytes, login: Login) -> bytes:
    """Return the client's parameters with the grant's user, and the grant's database if it names none."""
    words = content.split(b"\0")
    said = dict(zip(words[:-2:2], words[1:-1:2], strict=False))
    asked = said.get(b"database") or said.get(b"user", b"")
    if asked == said.get(b"user", b""):
        said[b"database"] = login.database.encode()
    said[b"user"] = login.user.encode()
    return b"".join(name + b"\0" + value + b"\0" for name, value in said.items()) + b"\0"


def _error(code: str, message: str) -> bytes:
    fields: Mapping[str, str] = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    return b"".join(f"{name}{value}\0".encode() for name, value in fields.items()) + b"\0"
