"""WebSockets of gateways. Source: RFC 6455, in which 1008 is the code for a policy violation."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from aiohttp.web import BaseRequest

GOODBYE_S = 0.4
FORBIDDEN, BROKEN = 1008, 1011
# A close frame can contain 125 bytes, two of which are for its code.
MOST_REASON = 120
_PROTOCOL = re.compile(r"[A-Za-z0-9!#$%&'*+./^_`|~-]{1,100}")


def protocols_of(request: BaseRequest) -> list[str]:
    """Return the subprotocols that a client offers."""
    words = ",".join(request.headers.getall("sec-websocket-protocol", ())).split(",")
    return [word.strip() for word in words if _PROTOCOL.fullmatch(word.strip())]


async def say_goodbye(side: Any, code: int, reason: bytes) -> None:
    """Close one side. Don't wait long, because the peer may not be reading."""
    sendable = code if 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015) else BROKEN
    with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
        async with asyncio.timeout(GOODBYE_S):
            await side.close(code=sendable, message=reason[:MOST_REASON])


async def end_with(transport: asyncio.Transport, data: bytes) -> None:
    """Send the last chunk and drop the connection. A client that is not reading does not get it."""
    transport.write(data)
    try:
        # The event loop writes at the end of its iteration.
        await asyncio.sleep(0)
    finally:
        transport.abort()


async def drop(request: BaseRequest, side: Any, text: str) -> None:
    """Close a client's WebSocket with the reason, and its connection, whether or not the client reads.

    If there is no message, the close code reports a failure.
    """
    # Closing may clear the request's transport, and cancels the request's handler.
    transport = request.transport
    try:
        await say_goodbye(side, FORBIDDEN if text else BROKEN, text.encode())
    finally:
        if transport is not None:
            transport.abort()
