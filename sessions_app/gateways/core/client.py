"""Connections of a gateway to its targets: each request is sent only once, and only to the decided
address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from multidict import CIMultiDict
from yarl import URL

from broker.kernel import request_id, trace_ids, tracing
from sessions_app.gateways.core.direct import METHODS, Answer, Direct, DirectAnswer
from sessions_app.gateways.core.sockets import GOODBYE_S

# Seconds to connect.
CONNECT_S = 10.0
HEAD_BYTES = 32 * 1024
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
CUT = (aiohttp.ClientError, OSError, TimeoutError)
_UNKNOWN = "the target may have carried out the request: check before you send it again"


class NotReached(Exception):
    """The target did not respond; ``sent`` is whether it may have received the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(reason)


class Dropped(aiohttp.ClientConnectionError):
    """The target closed the connection instead of responding."""


class HeadTooLarge(aiohttp.ClientError):
    """The target's response has a head that is too large."""


class TooLarge(ValueError):
    """A response is larger than allowed."""


class Client:
    """A pool of connections to all targets of a gateway, in one event loop.

    Requests through ``session`` follow the same rules.
    """

    def __init__(self, *, kept: float, ahead: int) -> None:
        """``kept`` is the number of seconds for which an idle connection is kept. ``ahead`` is the number
        of bytes of a response that are read ahead of the client.
        """
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=kept)
        self._direct = Direct(connector, ahead=ahead, longest=HEAD_BYTES)
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            middlewares=(_checked,),
            read_bufsize=ahead,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            skip_auto_headers=_OWN_HEADERS,
        )

    async def send(
        self,
        where: str,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        data: Any,
        silent: float | None = None,
        **tls: Any,
    ) -> Answer:
        """Send a request and return the response, with only its head read. Redirects are not followed.

        ``where`` names the target in errors. ``silent`` is the maximum number of seconds between two chunks
        of the response; None for no limit. Raises NotReached.
        """
        try:
            if data is None and method in METHODS:
                return await self._ask(method, url, headers, silent, tls)
            return await self.session.request(
                method, url, headers=headers, data=data, allow_redirects=False, timeout=_limit(silent), **tls
            )
        except CUT as error:
            raise _not_reached(where, error) from error

    async def _ask(
        self, method: str, url: URL, headers: Mapping[str, str], silent: float | None, tls: dict[str, Any]
    ) -> Answer:
        head = CIMultiDict(headers)
        _identify(head)
        answer = await self._direct.send(method, url, head, _limit(silent), **tls)
        _check_head(answer)
        return answer

    @contextlib.asynccontextmanager
    async def websocket(
        self,
        where: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        protocols: list[str],
        most: int,
        patience: float,
        **tls: Any,
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket until the block ends. ``most`` is the size of the largest message in bytes.

        ``patience`` is the close timeout in seconds: a target that keeps sending would otherwise block the
        close forever. Raises NotReached.
        """
        try:
            opened = await self.session.ws_connect(
                url,
                headers=headers,
                protocols=protocols,
                max_msg_size=most,
                autoclose=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S),
                **tls,
            )
        except CUT as error:
            raise _not_reached(where, error) from error
        try:
            yield opened
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await opened.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.session.close()


async def read_small(answer: Answer, most: int) -> bytes:
    """Return the body of a response. Raises TooLarge once it has more than ``most`` bytes."""
    data = b""
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > most:
            raise TooLarge(f"the response is larger than {most} bytes")
    return data


async def _checked(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Middleware: send a request with checks.

    Raises the errors of ``_sent_once``, and HeadTooLarge. Raises WSServerHandshakeError instead of following
    a WebSocket's redirect, because the new address was not part of the decision.
    """
    _identify(request.headers)
    answer = await _sent_once(request, handler)
    _check_head(answer)
    if answer.status != 101 and "upgrade" in request.headers:
        answer.close()
        raise aiohttp.WSServerHandshakeError(
            answer.request_info, (), status=answer.status, headers=answer.headers
        )
    return answer


def _identify(headers: CIMultiDict[str]) -> None:
    """Add this request's ID and trace to its headers, unless the client sent permitted ones."""
    if id_ := request_id.current():
        headers.setdefault(request_id.HEADER, id_)
    if parent := tracing.traceparent():
        headers.setdefault(trace_ids.HEADER, parent)


def _check_head(answer: ClientResponse | DirectAnswer) -> None:
    """Raise HeadTooLarge, and close the connection, if a response's head is too large as a whole: aiohttp
    limits only each line.
    """
    if sum(len(name) + len(value) + 4 for name, value in answer.raw_headers) > HEAD_BYTES:
        answer.close()
        raise HeadTooLarge


async def _sent_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Prevent aiohttp from sending a request twice. After these errors it would repeat the requests that RFC
    9110 §9.2.2 calls idempotent, but an approval is for one request. Raises Dropped.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Dropped(str(error)) from error


@lru_cache(maxsize=16)
def _limit(silent: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=silent)


def _not_reached(where: str, error: BaseException) -> NotReached:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return NotReached(f"{where} failed TLS verification", sent=False)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return NotReached(f"{where} did not respond", sent=False)
    if isinstance(error, HeadTooLarge):
        return NotReached(
            f"{where} responded with a head of more than {HEAD_BYTES // 1024} KB, and {_UNKNOWN}", sent=True
        )
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return NotReached(f"{where} refused the WebSocket with status {error.status}", sent=True)
    if isinstance(error, TimeoutError):
        return NotReached(f"{where} did not respond in time, and {_UNKNOWN}", sent=True)
    return NotReached(f"{where} closed the connection, and {_UNKNOWN}", sent=True)
