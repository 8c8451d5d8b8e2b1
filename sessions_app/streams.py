"""Live streams: `GET /streams/changes` tells a signed-in browser when to look again, as server-sent events.

A stream carries no data, only nudges; what somebody may see is decided when the page asks. One LISTEN connection
serves all streams of the process. Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

import psycopg
import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.db import close_old_connections
from django.http import HttpRequest

from broker.kernel.database import conninfo

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH = "/streams/changes"
CHANNELS = ("stint_grant", "stint_hold")
KEEP_ALIVE = 15.0
# Whoever was signed out or disabled meanwhile loses the stream after this long.
CHECK_AGAIN_AFTER = 60.0
RECONNECT_AFTER = 1.0


class Streams:
    """The ASGI application: lifespan, one listener, any number of streams."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._listener: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._listener = asyncio.create_task(self._listen())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._listener is not None:
                    self._listener.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _listen(self) -> None:
        """Wake every stream at each notification, and once after each new connection, for what was missed."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo(application_name="stint-streams"), autocommit=True
                ) as connection:
                    for channel in CHANNELS:
                        await connection.execute(f"LISTEN {channel}")
                    self._wake()
                    async for _ in connection.notifies():
                        self._wake()
            except psycopg.Error as error:
                log.warning("streams.listen_failed", error=str(error))
            await asyncio.sleep(RECONNECT_AFTER)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            await _answer(send, 200, b"ok\n")
        elif scope["path"] != PATH or scope["method"] != "GET":
            await _answer(send, 404, b"There is no such stream.\n")
        elif not await _signed_in(scope):
            await _answer(send, 403, b"Sign in first.\n")
        else:
            await self._stream(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        changed = asyncio.Event()
        self._waiting.add(changed)
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._nudge(scope, changed, gone, send)
        finally:
            self._waiting.discard(changed)
            gone.cancel()

    @staticmethod
    async def _news(changed: asyncio.Event, gone: asyncio.Task[None]) -> None:
        """Wait until something changed, the browser is gone, or it is time for a sign of life."""
        change = asyncio.create_task(changed.wait())
        await asyncio.wait({change, gone}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
        change.cancel()

    async def _nudge(
        self, scope: Scope, changed: asyncio.Event, gone: asyncio.Task[None], send: Send
    ) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK_AGAIN_AFTER
        await _write(send, b"retry: 3000\n\n")
        while not gone.done():
            await self._news(changed, gone)
            if gone.done():
                return
            if loop.time() > check_at:
                if not await _signed_in(scope):
                    break
                check_at = loop.time() + CHECK_AGAIN_AFTER
            await _write(send, b"event: changed\ndata: \n\n" if changed.is_set() else b": still here\n\n")
            changed.clear()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _signed_in(scope: Scope) -> bool:
    header = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        cookie = SimpleCookie(header).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    return cookie is not None and await sync_to_async(_is_somebody, thread_sensitive=False)(cookie.value)


def _is_somebody(session_key: str) -> bool:
    close_old_connections()
    request = HttpRequest()
    request.session = SessionStore(session_key)
    return get_user(request).is_active


application = Streams()
