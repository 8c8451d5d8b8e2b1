"""Requests without a body, written directly to a connection of aiohttp's pool.

``ClientSession`` takes three times as long. aiohttp still connects, writes heads, and parses responses, with
the same limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp import ClientRequest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage, StreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# The maximum number of servers for which pool keys are kept.
_MOST = 256


class Answer(Protocol):
    """A response whose head has been read and whose body has not, such as aiohttp's ``ClientResponse``."""

    status: int
    content: StreamReader

    @property
    def headers(self) -> CIMultiDictProxy[str]: ...

    async def read(self) -> bytes:
        """Return the whole body."""

    def close(self) -> None:
        """Close the connection unless the body was read to its end. Safe to repeat."""


class DirectAnswer:
    """A response that keeps its connection until its body has been read to the end."""

    def __init__(self, connection: Connection, message: RawResponseMessage, content: StreamReader) -> None:
        self.status, self.headers, self.content = message.code, message.headers, content
        self.raw_headers = message.raw_headers
        self._connection: Connection | None = connection
        content.on_eof(self._release)

    async def read(self) -> bytes:
        return await self.content.read()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self.content.exception() is None:
            # The pool drops the body with its connection, so nothing else would wake the reader.
            self.content.set_exception(aiohttp.ClientConnectionError("The connection was closed."))
        connection.close()

    def _release(self) -> None:
        connection = self._connection
        # Another protocol may follow a response with status 101.
        if connection is not None and connection.protocol is not None and not connection.protocol.upgraded:
            self._connection = None
            connection.release()


def media_in(answer: Answer) -> str:
    """Return the media type of a response without parameters."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


class Direct:
    """Sends requests without a body on a pool's connections."""

    def __init__(self, connector: aiohttp.TCPConnector, *, ahead: int, longest: int) -> None:
        """``ahead`` is the number of bytes of a response that are read ahead of its reader.

        ``longest`` is the maximum length of a line in its head, in bytes.
        """
        self._connector, self._ahead, self._longest = connector, ahead, longest
        self._loop = asyncio.get_running_loop()
        # The pool's request for each server, by address and TLS settings.
        self._servers: dict[tuple[object, ...], ClientRequest] = {}

    async def send(
        self, method: str, url: URL, headers: Mapping[str, str], limit: aiohttp.ClientTimeout, **tls: Any
    ) -> DirectAnswer:
        """Send a request once. Raises the same errors as ``ClientSession.request``."""
        server = self._server(url, tls)
        try:
            connection = await self._connector.connect(server, [], limit)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {url.raw_authority}") from error
        try:
            return await self._ask(connection, server, method, url.raw_path_qs, headers, limit)
        except BaseException:
            connection.close()
            raise

    async def _ask(
        self,
        connection: Connection,
        server: ClientRequest,
        method: str,
        target: str,
        headers: Mapping[str, str],
        limit: aiohttp.ClientTimeout,
    ) -> DirectAnswer:
        protocol = connection.protocol
        if protocol is None:
            raise AssertionError
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=limit.sock_read,
            read_bufsize=self._ahead,
            max_line_size=self._longest,
            max_field_size=self._longest,
        )
        head = CIMultiDict(host=server.headers["host"])
        head.update(headers)
        writer = StreamWriter(protocol, self._loop)
        await writer.write_headers(f"{method} {target} HTTP/1.1", head)
        writer.set_eof()
        protocol.start_timeout()
        try:
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError(f"malformed response: {error.message}") from error
        return DirectAnswer(connection, message, content)

    def _server(self, url: URL, tls: dict[str, Any]) -> ClientRequest:
        key = (url.scheme, url.raw_authority, *tls.values())
        found = self._servers.get(key)
        if found is None:
            if len(self._servers) >= _MOST:
                self._servers.clear()
            found = self._servers[key] = _Server("GET", url.origin(), loop=self._loop, **tls)
        return found


class _Server(ClientRequest):
    """A request in the form that the pool accepts. Its key is computed only once."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._key = super().connection_key

    @property
    def connection_key(self) -> ConnectionKey:
        return self._key
