"""Live streams: `GET /streams/changes` tells a signed-in browser when to look again, as server-sent events.

A stream carries no content, only nudges; what somebody may see is decided when the page asks. One LISTEN connection
serves all streams of the process. Source: WHATWG HTML, "Server-sent events".

**Resuming.** Each nudge has as its id the number of the record's last entry. Whoever comes with `Last-Event-ID`, or
with `?after=` (a page that was hidden, or has just been rendered), gets a nudge at once if the record went on since.

**Bounds.** So many streams in all and so many of one person (503 and 429: the page then asks on its own, every few
seconds, as it does when the database can't be heard). A stream's nudges are at least a gap apart, which grows with the
number of streams, so that all pages together never ask more often than `NUDGES_PER_SECOND`. A browser that has stopped
reading is not written to any more, and keeps its place until its connection is gone.

**Where pages find it.** A proxy routes `/streams/` of the pages' own address here. Without a proxy (`manage.py up` on
one's own machine) this process listens on a port of its own, `settings.STREAMS_DIRECT_PORT`: pages then ask there, at
the same host, so that the session's cookie comes along, and answers name the pages' origin (CORS), and no other.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import psycopg
import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.http import HttpRequest

from accounts.factors import missing_step
from accounts.sessions import SessionStore
from broker.kernel.database import conninfo

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PATH = "/streams/changes"
RECORD = "stint_record"
# All that happens is an entry of the record, but ends go on while that refuses, and some notices come of the clock alone.
CHANNELS = (RECORD, "stint_grant", "stint_hold", "stint_order", "stint_notice")
KEEP_ALIVE = 15.0
# Whoever was signed out or disabled meanwhile loses the stream after this long.
CHECK_AGAIN_AFTER = 60.0
RECONNECT_AFTER = 1.0
# Who reads nothing for this long has stopped reading.
PATIENCE = 10.0
MOST_EACH = 12
LEAST_GAP = 0.3
NUDGES_PER_SECOND = 50.0


class Streams:
    """The ASGI application: lifespan, one listener, a bounded number of streams."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._of: Counter[int] = Counter()
        self._listener: asyncio.Task[None] | None = None
        self._seq = 0
        self._hears = False

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
        """Wake every stream at each notification. While the database says nothing there are no streams: pages that
        ask on their own know more than pages that wait for what can't come.
        """
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo(application_name="stint-streams"), autocommit=True
                ) as connection:
                    for channel in CHANNELS:
                        await connection.execute(f"LISTEN {channel}")
                    head = await connection.execute("SELECT seq FROM audit_head WHERE log = 'main'")
                    self._seq, self._hears = ((await head.fetchone()) or (0,))[0], True
                    async for notice in connection.notifies():
                        numbered = notice.channel == RECORD and notice.payload.isdecimal()
                        self._wake(int(notice.payload) if numbered else 0)
            except psycopg.Error as error:
                log.warning("streams.listen_failed", error=str(error))
            self._hears = False
            self._wake(0)
            await asyncio.sleep(RECONNECT_AFTER)

    def _wake(self, seq: int) -> None:
        self._seq = max(self._seq, seq)
        for event in self._waiting:
            event.set()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            return await _answer(
                send, *((200, b"ok\n") if self._hears else (503, b"The database says nothing.\n"))
            )
        if scope["path"] != PATH or scope["method"] != "GET":
            return await _answer(send, 404, b"There is no such stream.\n")
        person = await _signed_in(scope)
        if person is None:
            return await _answer(send, 403, b"Sign in first.\n", _cors(scope))
        if not self._hears:
            return await _answer(send, 503, b"The database says nothing.\n", _cors(scope))
        if len(self._waiting) >= settings.STREAMS_MOST:
            return await _answer(send, 503, b"Too many streams are open.\n", _cors(scope))
        if self._of[person] >= MOST_EACH:
            return await _answer(send, 429, b"You have too many streams open.\n", _cors(scope))
        return await self._stream(person, scope, receive, send)

    async def _stream(self, person: int, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *_cors(scope),
        ]
        changed = asyncio.Event()
        self._waiting.add(changed)
        self._of[person] += 1
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if (after := _after(scope)) is not None and after != self._seq:
                changed.set()
            await self._nudge(scope, changed, gone, send)
        except TimeoutError:
            # It is written to no more; its place is free when its connection is gone, so that nobody collects them.
            await gone
        finally:
            self._waiting.discard(changed)
            self._of[person] -= 1
            self._of += Counter()
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
            if not self._hears:
                break
            if loop.time() > check_at:
                if await _signed_in(scope) is None:
                    break
                check_at = loop.time() + CHECK_AGAIN_AFTER
            if not changed.is_set():
                await _write(send, b": still here\n\n")
                continue
            changed.clear()
            await _write(send, b"id: %d\nevent: changed\ndata: \n\n" % self._seq)
            await asyncio.wait({gone}, timeout=self._gap())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _gap(self) -> float:
        """Seconds until a stream's next nudge. They differ, so that many pages don't ask in the same moment."""
        gap = max(LEAST_GAP, len(self._waiting) / NUDGES_PER_SECOND)
        return gap * random.uniform(0.75, 1.25)  # noqa: S311 - spreads the load, keeps no secret


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Send, status: int, body: bytes, more: Headers | None = None) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _write(send: Send, body: bytes) -> None:
    """Write to a stream. Raises TimeoutError when the other side has stopped reading."""
    async with asyncio.timeout(PATIENCE):
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _header(scope: Scope, wanted: bytes) -> str:
    return b"; ".join(value for name, value in scope["headers"] if name == wanted).decode("latin-1")


def _after(scope: Scope) -> int | None:
    """Return the number of the entry after which the browser wants to hear; what is none of ours counts as the oldest."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    said = _header(scope, b"last-event-id") or query.get("after", [""])[-1]
    if not said:
        return None
    return int(said) if said.isdecimal() and len(said) < 19 else 0


def _cors(scope: Scope) -> Headers:
    """Return the headers that let the pages of this same host read the stream from its other port."""
    origin = _header(scope, b"origin")
    headers = [(b"vary", b"Origin, Cookie")]
    if origin in settings.STREAMS_ORIGINS:
        headers += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
        ]
    return headers


async def _signed_in(scope: Scope) -> int | None:
    """Return who asks, if it is somebody who may sign in."""
    try:
        cookie = SimpleCookie(_header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return (
        await sync_to_async(_somebody, thread_sensitive=False)(cookie.value) if cookie is not None else None
    )


def _somebody(session_key: str) -> int | None:
    close_old_connections()
    request = HttpRequest()
    request.session = SessionStore(session_key)
    person = get_user(request)
    return person.pk if person.is_active and not missing_step(request, person) else None


application = Streams()
