"""HTTP/1.1 requests to one MCP server, from an event loop.

Each request has its own connection, so canceling the request also ends it at the server.

Source: RFC 9112, implemented by h11.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import h11

from sessions_app.connectors.base import ConnectorError

CONNECT_S = 5.0
MOST_BODY = 4 * 1024 * 1024
_PIECE = 64 * 1024
_BRACKETED = re.compile(r"\[(.+)\](?::[0-9]+)?")


class Unreached(ConnectorError):
    """No connection to the server could be opened, so nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of an MCP server, and how Stint authenticates to it.

    ``idle`` is how long the server may be silent, in seconds.
    """

    name: str
    address: str
    port: int
    path: str
    host: str = ""
    tls: bool = True
    ca: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    idle: float = 6.0

    @property
    def where(self) -> str:
        """The address and port, for messages."""
        return f"{self.address}:{self.port}"


class Answer:
    """A server's response: status and headers (lowercase names), then the body chunk by chunk."""

    def __init__(
        self,
        endpoint: Endpoint,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        state: h11.Connection,
    ) -> None:
        self._endpoint, self._reader, self._writer, self._state = endpoint, reader, writer, state
        self.status = 0
        self.headers: dict[str, str] = {}

    async def start(self) -> None:
        """Read the status and the headers."""
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise self._error("closed the connection without a response")
        self.status = event.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield chunks of the body as they arrive. Raises ConnectorError."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return

    async def body(self, most: int = MOST_BODY) -> bytes:
        """Return the whole body. Raises ConnectorError if it is longer than ``most`` bytes."""
        found = b""
        async for piece in self.pieces():
            found += piece
            if len(found) > most:
                raise self._error("sent a response that is too large")
        return found

    async def _event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        try:
            async with asyncio.timeout(self._endpoint.idle):
                while (event := self._state.next_event()) is h11.NEED_DATA:
                    self._state.receive_data(await self._reader.read(_PIECE))
                return event
        except TimeoutError as error:
            raise self._error("did not respond in time") from error
        except (h11.RemoteProtocolError, OSError) as error:
            raise self._error("sent an incomplete HTTP response") from error

    def _error(self, what: str) -> ConnectorError:
        return ConnectorError(f"{self._endpoint.name} ({self._endpoint.where}) {what}.")


@contextlib.asynccontextmanager
async def request(
    endpoint: Endpoint, method: str, headers: Mapping[str, str], body: bytes = b""
) -> AsyncIterator[Answer]:
    """Send one request and yield the response. Leaving the block closes the connection.

    Raises ConnectorError, and specifically Unreached if nothing was sent.
    """
    reader, writer = await _connect(endpoint)
    state = h11.Connection(h11.CLIENT)
    try:
        for event in (_line(endpoint, method, headers, body), h11.Data(data=body), h11.EndOfMessage()):
            writer.write(state.send(event) or b"")
        answer = Answer(endpoint, reader, writer, state)
        await answer.start()
        yield answer
    finally:
        writer.transport.abort()


def _line(endpoint: Endpoint, method: str, headers: Mapping[str, str], body: bytes) -> h11.Request:
    host = endpoint.host or (f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address)
    usual = 443 if endpoint.tls else 80
    said = {
        "Host": host if endpoint.host or endpoint.port == usual else f"{host}:{endpoint.port}",
        "Connection": "close",
        "User-Agent": "stint",
        "Content-Length": str(len(body)),
        **headers,
    }
    if endpoint.token:
        said["Authorization"] = f"Bearer {endpoint.token}"
    return h11.Request(method=method, target=endpoint.path, headers=list(said.items()))


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = _context(endpoint) if endpoint.tls else None
    name = name_for_tls(endpoint.host or endpoint.address) if endpoint.tls else None
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(
                endpoint.address, endpoint.port, ssl=tls, server_hostname=name, limit=_PIECE
            )
    except TimeoutError as error:
        raise Unreached(f"{endpoint.name} ({endpoint.where}) did not respond in time.") from error
    except ssl.SSLError as error:
        raise Unreached(
            f"{endpoint.name} ({endpoint.where}) failed TLS verification: {error.reason}."
        ) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Unreached(f"{endpoint.name} ({endpoint.where}) did not respond: {why}.") from error


def name_for_tls(host: str) -> str:
    """Return the name or address that a server's certificate must match, without a port or IPv6 brackets."""
    if bracketed := _BRACKETED.fullmatch(host):
        return bracketed[1]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.partition(":")[0]


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=endpoint.ca or None)
    except ssl.SSLError as error:
        raise ConnectorError(
            f"The CA certificates of {endpoint.name} can't be read. Use PEM.", permanent=True
        ) from error
