"""Request bodies, read in full before they are decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientError
from aiohttp.web import BaseRequest
from aiohttp.web_protocol import RequestPayloadError

from sessions_app.gateways.core.heads import Framing, HeadRefused
from sessions_app.gateways.core.outcomes import is_gone

# The time limit for a body: this many seconds, plus the time for its size at this rate in bytes per second.
READ_S, SLOWEST = 30.0, 8 * 1024


async def go_ahead(request: BaseRequest, framing: Framing) -> None:
    """Ask a client that waits for permission to send its body: 100 Continue. Source: RFC 9110 §10.1.1."""
    if framing.waits:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # These bytes are not part of a response, so the response's size is counted from here.
        request.writer.output_size = 0


def of_the_client(error: HeadRefused, request: BaseRequest) -> HeadRefused:
    """Return the error for a body that is sent incorrectly.

    If the sender has disconnected, raise the original error instead.
    """
    if is_gone(request):
        raise error
    return error


async def pieces(request: BaseRequest, most: int) -> AsyncIterator[bytes]:
    """Yield a body of at most ``most`` bytes. Raises HeadRefused."""
    read, loop = 0, asyncio.get_running_loop()
    until = loop.time() + READ_S
    try:
        while True:
            async with asyncio.timeout_at(until + read / SLOWEST):
                piece = await request.content.readany()
            if not piece:
                return
            read += len(piece)
            if read > most:
                raise HeadRefused(413, f"The body is larger than {most} bytes")
            yield piece
    except TimeoutError:
        raise HeadRefused(408, "The body arrived too slowly") from None
    except (RequestPayloadError, ClientError):
        raise HeadRefused(400, "The body can't be read") from None
