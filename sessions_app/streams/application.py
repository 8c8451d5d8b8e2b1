"""Live streams: `GET /streams/changes` notifies a signed-in browser, through server-sent events, when to
refresh.

This stream has no content, only refresh signals. Permissions are checked when the page fetches the content.
One LISTEN connection serves all streams of the process. Source: WHATWG HTML, "Server-sent events".

**Resuming.** The id of each signal is the number of the record's last entry. A client can send
`Last-Event-ID`, or `?after=` if its page was hidden or has just been rendered. If the record has grown since
then, the client gets a signal immediately.

**Limits.** The total number of streams is limited (503), and so is the number for each person (429). A
refused page polls every few seconds, as it does when the database can't be reached. A stream's signals have a
minimum interval, which grows with the number of streams. As a result, all pages together never fetch more
often than `NUDGES_PER_SECOND`. A browser that has stopped reading gets no more signals, and counts toward the
limits until its connection is gone.

**How pages find the stream.** A proxy routes `/streams/` on the pages' own address to this process. Without a
proxy (`manage.py up` on a developer's machine), this process listens on its own port,
`settings.STREAMS_DIRECT_PORT`. Pages then connect to that port on the same host, so that the session cookie
is sent along. Responses allow only the pages' origin (CORS).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from urllib.parse import parse_qs

import psycopg
import structlog
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from broker.kernel import metrics
from broker.kernel.database import conninfo
from sessions_app.streams.serving import (
    Receive,
    Scope,
    Send,
    answer,
    cors,
    header,
    signed_in,
    until_gone,
    write,
)
from sessions_app.streams.terminal import Terminals

log = structlog.get_logger(__name__)

PATH, TERMINAL, METRICS = "/streams/changes", "/streams/terminal", "/metrics"
RECORD = "stint_record"
# Every change is an entry of the record, but grants still end when the record can't accept entries. Some
# notifications depend only on the time.
CHANNELS = (RECORD, "stint_grant", "stint_hold", "stint_order", "stint_notice")
KEEP_ALIVE = 15.0
# In seconds. How long a stream can stay open after its person was signed out or disabled.
CHECK_AGAIN_AFTER = 60.0
RECONNECT_AFTER = 1.0
MOST_EACH = 12
LEAST_GAP = 0.3
NUDGES_PER_SECOND = 50.0


class Streams:
    """The ASGI application: lifespan, one listener, and a bounded number of streams."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._of: Counter[int] = Counter()
        self._listener: asyncio.Task[None] | None = None
        self._seq = 0
        self._hears = False
        self._stopping = False
        self._terminals = Terminals()

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

    def stop(self) -> None:
        """End every stream, so that the server does not wait for streams.

        Pages connect to another process, or poll.
        """
        self._stopping = self._terminals.stopping = True
        self._wake(0)

    async def _listen(self) -> None:
        """Wake every stream at each database notification.

        Without the database there are no streams, because polling pages stay more up to date than pages that
        wait for events that can't arrive.
        """
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
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
            return await answer(
                send, *((200, b"ok\n") if self._hears else (503, b"The database is not responding.\n"))
            )
        if scope["path"] == METRICS and scope["method"] == "GET":
            return await answer(send, 200, generate_latest(), content_type=CONTENT_TYPE_LATEST)
        if scope["path"] == TERMINAL and scope["method"] == "POST":
            return await self._terminals.serve(scope, receive, send)
        if scope["path"] != PATH or scope["method"] != "GET":
            return await answer(send, 404, b"There is no such stream.\n")
        person = await signed_in(scope)
        if person is None:
            return await answer(send, 403, b"Sign in first.\n", cors(scope))
        if not self._hears:
            return await answer(send, 503, b"The database is not responding.\n", cors(scope))
        if len(self._waiting) >= settings.STREAMS_MOST:
            return await answer(send, 503, b"Too many streams are open.\n", cors(scope))
        if self._of[person] >= MOST_EACH:
            return await answer(send, 429, b"You have too many streams open.\n", cors(scope))
        return await self._stream(person, scope, receive, send)

    async def _stream(self, person: int, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *cors(scope),
        ]
        changed = asyncio.Event()
        self._waiting.add(changed)
        self._of[person] += 1
        metrics.STREAMS.inc()
        gone = asyncio.create_task(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if (after := _after(scope)) is not None and after != self._seq:
                changed.set()
            await self._nudge(scope, changed, gone, send)
        except TimeoutError:
            # No more data is written to this stream. It counts toward the limits until its connection is
            # gone, so that no one can accumulate stalled streams.
            await gone
        finally:
            self._waiting.discard(changed)
            self._of[person] -= 1
            self._of += Counter()
            metrics.STREAMS.dec()
            gone.cancel()

    @staticmethod
    async def _news(changed: asyncio.Event, gone: asyncio.Task[None]) -> None:
        """Wait until something changes, the browser disconnects, or a keep-alive is due."""
        change = asyncio.create_task(changed.wait())
        await asyncio.wait({change, gone}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
        change.cancel()

    async def _nudge(
        self, scope: Scope, changed: asyncio.Event, gone: asyncio.Task[None], send: Send
    ) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK_AGAIN_AFTER
        await write(send, b"retry: 3000\n\n")
        while not gone.done():
            await self._news(changed, gone)
            if gone.done():
                return
            if not self._hears or self._stopping:
                break
            if loop.time() > check_at:
                if await signed_in(scope) is None:
                    break
                check_at = loop.time() + CHECK_AGAIN_AFTER
            if not changed.is_set():
                await write(send, b": still here\n\n")
                continue
            changed.clear()
            await write(send, b"id: %d\nevent: changed\ndata: \n\n" % self._seq)
            await asyncio.wait({gone}, timeout=self._gap())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _gap(self) -> float:
        """Return a random number of seconds until a stream's next signal, so that pages don't all fetch at
        the same time.
        """
        gap = max(LEAST_GAP, len(self._waiting) / NUDGES_PER_SECOND)
        return gap * random.uniform(0.75, 1.25)  # noqa: S311 - spreads the load, keeps no secret


def _after(scope: Scope) -> int | None:
    """Return the entry number from the client's request, after which it wants signals; None if the request
    has no number.

    An invalid number counts as the oldest entry.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    said = header(scope, b"last-event-id") or query.get("after", [""])[-1]
    if not said:
        return None
    return int(said) if said.isdecimal() and len(said) < 19 else 0


application = Streams()
