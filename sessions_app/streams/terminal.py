"""Live views: `POST /streams/terminal?run=N` streams the output of a running command to a person who may see
it.

The gateway publishes the encrypted output through the queue's server (`gateways/core/broadcast.py`). A view
begins with its entry in the record: without the entry, nothing is streamed. Every other second, the sign-in,
the permission and the command are checked again. A view ends, which is also recorded, when its watcher
fails a check, stops reading or disconnects. This process can't delay or change the command.

The response has one JSON array per line: what the gateway sends, `["watchers", [names]]`, and at the end
`["over", reason]`. The method is POST, because the request is recorded; pages of other sites can't send it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from django.conf import settings
from django.db import DatabaseError
from redis.asyncio import Redis

from broker.kernel import clock, metrics
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.errors import StintError
from broker.kernel.pubsub import UNREACHABLE, pubsub_client
from broker.kernel.sealed_channel import Receiver
from sessions_app.operations.sessions.end_watch import end_watch
from sessions_app.operations.sessions.keep_watch import EVERY, Kept, keep_watch
from sessions_app.operations.sessions.watch_run import Watching, watch_run
from sessions_app.streams.serving import (
    Receive,
    Scope,
    Send,
    answer,
    cors,
    header,
    in_thread,
    person_of,
    session_key,
    until_gone,
    write,
)

log = structlog.get_logger(__name__)

MOST_EACH, MOST = 6, 100
# In seconds: the longest silence of the gateway, the patience with a client that does not read, and one wait
# for output.
SILENCE, PATIENCE, WAIT = 6.0, 5.0, 0.5
# In seconds. Within this time, the queue's server must confirm a subscription.
CONFIRMS = 2.0
UNAVAILABLE = b"The live view is not available now. The command continues, and is recorded.\n"
# The reasons why a view ended, in the wording of the record.
LEFT, OVER, SIGNED_OUT, SLOW, SILENT = "left", "command ended", "signed out", "too slow", "unavailable"
RESTARTS = "restarts"


class Terminals:
    """The live views of one process."""

    def __init__(self, client: Callable[[], Redis] = pubsub_client) -> None:
        self._client = client
        self._of: Counter[int] = Counter()
        self.stopping = False

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = session_key(scope)
        person = await in_thread(person_of, key) if key else None
        run = parse_qs(scope["query_string"].decode("latin-1")).get("run", [""])[-1]
        if person is None or not _from_our_page(scope):
            return await answer(send, 403, b"Sign in first.\n", cors(scope))
        if not run.isdecimal() or len(run) > 18:
            return await answer(send, 404, b"Command not found.\n", cors(scope))
        if self._of[person.pk] >= MOST_EACH or self._of.total() >= MOST:
            return await answer(send, 429, b"Too many live views are open. Close one.\n", cors(scope))
        self._of[person.pk] += 1
        metrics.STREAMS.inc()
        gone = asyncio.create_task(until_gone(receive))
        try:
            await _View(self, key, scope, send, gone).show(int(run), self._client())
        finally:
            gone.cancel()
            self._of[person.pk] -= 1
            self._of += Counter()
            metrics.STREAMS.dec()


class _View:
    """One live view."""

    def __init__(
        self, terminals: Terminals, key: str, scope: Scope, send: Send, gone: asyncio.Task[None]
    ) -> None:
        self._terminals, self._key, self._scope, self._send, self._gone = terminals, key, scope, send, gone
        self._names: Sequence[str] = ()
        self._begun = False

    async def show(self, run: int, client: Redis) -> None:
        """Subscribe, then record, then stream until a reason to end."""
        channel = f"stint:watch:{secrets.token_urlsafe(16)}"
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                # The server's confirmation: after this, no output is missed.
                if await pubsub.get_message(timeout=CONFIRMS) is None:
                    raise TimeoutError
                await self._watch(run, channel, pubsub)
        except UNREACHABLE as error:
            log.warning("watch.unavailable", error=type(error).__name__)
            if not self._begun:
                await answer(self._send, 503, UNAVAILABLE, cors(self._scope))
        finally:
            await client.aclose()

    async def _watch(self, run: int, channel: str, pubsub: Any) -> None:
        try:
            watching = await in_thread(_begin, self._key, run, channel)
        except StintError as error:
            await answer(self._send, error.status, f"{error.message}\n".encode(), cors(self._scope))
            return
        except DatabaseError:
            await answer(self._send, 503, UNAVAILABLE, cors(self._scope))
            return
        reason = LEFT
        try:
            await self._start()
            reason = await self._until_over(pubsub, watching)
            await self._line("over", reason)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            reason = SLOW
        finally:
            await asyncio.shield(_ended(watching, reason))
        if reason == SLOW:
            # No more data is written to this view. It counts toward the limits until its connection is gone.
            await self._gone

    async def _start(self) -> None:
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *cors(self._scope),
        ]
        self._begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        # Proxies and browsers forward the response head only with the first byte of the body.
        await write(self._send, b"\n", patience=PATIENCE)

    async def _until_over(self, pubsub: Any, watching: Watching) -> str:
        try:
            return await self._relay(pubsub, watching)
        except TimeoutError:
            raise
        except UNREACHABLE as error:
            log.warning("watch.unavailable", error=type(error).__name__)
            return SILENT

    async def _relay(self, pubsub: Any, watching: Watching) -> str:
        """Forward what the gateway sends, and return why the output ended."""
        loop, receiver = asyncio.get_running_loop(), Receiver(watching.key)
        heard, check_at, ended = loop.time(), loop.time(), False
        while not self._gone.done():
            if self._terminals.stopping:
                return RESTARTS
            if loop.time() >= check_at:
                over = await self._check(watching)
                # The gateway's own last message arrives at about the same time.
                if over and (over != OVER or ended):
                    return over
                check_at, ended = loop.time() + EVERY, bool(over)
            if (message := await pubsub.get_message(timeout=WAIT)) is None:
                # The gateway or the queue's server is unavailable.
                if loop.time() > heard + SILENCE:
                    return SILENT
                continue
            heard = loop.time()
            if await self._pass(receiver, message):
                return OVER
        return LEFT

    async def _pass(self, receiver: Receiver, message: dict[str, Any]) -> bool:
        """Forward one message. Return whether it was the last one."""
        if message["type"] != "message":
            return False
        try:
            plain, lost = receiver.open(message["data"])
        except CannotDecrypt:
            log.warning("watch.altered")
            return False
        if lost:
            await self._line("gap", 0)
        kind = json.loads(plain)[0]
        if kind != "beat":
            await write(self._send, plain + b"\n", patience=PATIENCE)
        return bool(kind == "end")

    async def _check(self, watching: Watching) -> str:
        """Return why the view may not continue; empty if it may."""
        try:
            kept = await in_thread(_keep, self._key, watching.id)
        except DatabaseError:
            return SILENT
        if kept.over:
            return kept.over
        if kept.watchers != self._names:
            self._names = kept.watchers
            await self._line("watchers", self._names)
        else:
            # A lost connection is noticed only when data is written to it.
            await write(self._send, b"\n", patience=PATIENCE)
        return ""

    async def _line(self, *values: object) -> None:
        await write(self._send, json.dumps(values).encode() + b"\n", patience=PATIENCE)


def _from_our_page(scope: Scope) -> bool:
    """Whether a page of Stint sent the request. Browsers name the origin of each POST."""
    origin, host = header(scope, b"origin"), header(scope, b"host")
    same = urlsplit(origin).hostname == urlsplit(f"//{host}").hostname
    return bool(origin) and (origin in settings.STREAMS_ORIGINS or same)


def _begin(key: str, run: int, channel: str) -> Watching:
    person = person_of(key)
    if person is None:
        raise StintError("Sign in first.")
    return watch_run(run_id=run, actor=person, channel=channel, now=clock.now())


def _keep(key: str, watch: int) -> Kept:
    person = person_of(key)
    return keep_watch(watch_id=watch, actor=person, now=clock.now()) if person else Kept(SIGNED_OUT)


async def _ended(watching: Watching, reason: str) -> None:
    try:
        await in_thread(_end, watching.id, reason)
    except DatabaseError as error:
        # A background task ends the view once no process has confirmed it for a while.
        log.warning("watch.not_ended", error=str(error))


def _end(watch: int, reason: str) -> None:
    end_watch(watch_id=watch, reason=reason, now=clock.now())
