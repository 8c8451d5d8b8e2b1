"""WebSockets through the gateway: relays messages both ways until one side closes, or the grant ends.

Source: RFC 6455, in which 1008 is the code for a policy violation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType, web
from aiohttp.web import BaseRequest

from sessions_app.gateways.core.sockets import BROKEN, GOODBYE_S, say_goodbye
from sessions_app.gateways.core.spellings import without
from sessions_app.gateways.http.answers import Received

LARGEST_MESSAGE = 16 * 1024 * 1024
BEAT_S = 30.0

_Side = web.WebSocketResponse | ClientWebSocketResponse


async def accept(request: BaseRequest, there: ClientWebSocketResponse) -> web.WebSocketResponse:
    """Accept the client's WebSocket once the target has accepted its own."""
    chosen = (there.protocol,) if there.protocol else ()
    here = web.WebSocketResponse(
        protocols=chosen,
        heartbeat=BEAT_S,
        compress=False,
        autoclose=False,
        timeout=GOODBYE_S,
        max_msg_size=LARGEST_MESSAGE,
    )
    await here.prepare(request)
    return here


async def relay(
    here: web.WebSocketResponse,
    there: ClientWebSocketResponse,
    sent: Received,
    received: Received,
    secrets: Collection[str],
) -> None:
    """Relay messages both ways until one side closes, then close the other with the same code and reason.

    The reason is passed on without ``secrets``.
    """
    ways = [
        asyncio.create_task(_pass_on(here, there, sent)),
        asyncio.create_task(_pass_on(there, here, received)),
    ]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        code, reason = next(iter(done)).result()
    except (ConnectionError, RuntimeError):
        code, reason = BROKEN, ""
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
    said = without(reason, secrets).encode()
    await say_goodbye(here, code, said)
    await say_goodbye(there, code, said)


async def _pass_on(source: _Side, sink: _Side, counted: Received) -> tuple[int, str]:
    """Relay messages until the source closes. Return its code and reason."""
    while True:
        message: WSMessage = await source.receive()
        if message.type == WSMsgType.TEXT:
            counted.take(message.data.encode())
            await sink.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            counted.take(message.data)
            await sink.send_bytes(message.data)
        elif message.type == WSMsgType.CLOSE:
            return message.data or 1000, message.extra or ""
        else:
            return source.close_code or BROKEN, ""
