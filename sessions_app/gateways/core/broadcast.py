"""Publishes the output of watched commands, sealed for each watcher.

A command that no one watches costs nothing. The recorder's output is queued in bounded memory and published
independently of the session: if the carrier is slow or unavailable, output is dropped, and a mark reports how
much. Messages are JSON: `["start", {…}]`, `["o", text]`, `["r", "80x24"]`, `["gap", characters]`, `["beat",
""]` while nothing is printed, and `["end", ""]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis

from broker.kernel.errors import Unavailable
from broker.kernel.pubsub import UNREACHABLE, pubsub_client
from broker.kernel.sealed_channel import Sender
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.recording import Recorder
from sessions_app.models.watch import CONFIRMED_FOR
from sessions_app.queries.gateways.watches import OpenWatch, open_watches

log = structlog.get_logger(__name__)

# In characters: the maximum size of one message, and of the output that waits to be published. In bytes: how
# much of a recording a new watcher gets.
LARGEST, MOST_WAITING, MOST_BEFORE = 64 * 1024, 256 * 1024, 512 * 1024
# In seconds: the minimum and maximum time between two messages to one watcher, between two checks of the open
# views, and after a failed message.
GAP, BEAT, LOOK, AGAIN = 0.1, 2.0, 2.0, 1.0

Event = tuple[str, Any]
Publish = Callable[[str, bytes], Any]


class Broadcast:
    """One run's output for one watcher."""

    def __init__(self, watch: OpenWatch, recorder: Recorder, publish: Publish) -> None:
        """Start to follow the recorder. Raises OSError."""
        self._channel, self._sender, self._publish = watch.channel, Sender(watch.key), publish
        self._recorder, self._before = recorder, recorder.so_far()
        self._waiting: deque[Event] = deque()
        self._size, self._over = 0, False
        self._news = asyncio.Event()
        recorder.followers.append(self.take)

    def take(self, event: Event | None) -> None:
        """Queue an event, or count it as dropped. Never waits."""
        if event is None:
            self._over = True
        elif self._size + len(event[1]) > MOST_WAITING:
            self._left_out(len(event[1]))
        else:
            self._waiting.append(event)
            self._size += len(event[1])
        self._news.set()

    def leave(self) -> None:
        """Queue nothing more."""
        with contextlib.suppress(ValueError):
            self._recorder.followers.remove(self.take)

    async def run(self) -> None:
        """Publish the recording so far, then new output, until the command ends."""
        path, size = self._before
        for event in await asyncio.to_thread(_read_before, path, size):
            await self._send(event)
        while not (self._over and not self._waiting):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._news.wait()
            self._news.clear()
            if not self._waiting and not self._over:
                await self._send(("beat", ""))
            while self._waiting:
                await self._send(self._next())
                await asyncio.sleep(GAP)
        await self._send(("end", ""))

    def _next(self) -> Event:
        """Return the next event, with the output that follows it directly, up to the size of a message."""
        kind, value = self._waiting.popleft()
        if kind == "gap":
            return kind, value
        parts, size = [value], len(value)
        while kind == "o" and self._waiting and self._waiting[0][0] == "o" and size < LARGEST:
            parts.append(self._waiting.popleft()[1])
            size += len(parts[-1])
        self._size -= size
        return kind, "".join(parts)

    def _left_out(self, count: int) -> None:
        if self._waiting and self._waiting[-1][0] == "gap":
            count += self._waiting.pop()[1]
        self._waiting.append(("gap", count))

    async def _send(self, event: Event) -> None:
        try:
            await self._publish(self._channel, self._sender.seal(json.dumps(event).encode()))
        except UNREACHABLE as error:
            log.warning("watch.not_published", error=type(error).__name__)
            if event[0] in ("o", "gap"):
                self._waiting.appendleft(("gap", event[1] if event[0] == "gap" else len(event[1])))
            await asyncio.sleep(AGAIN)


class Broadcasts:
    """The broadcasts of one gateway process."""

    def __init__(
        self, database: Database, clock: LoopClock, *, client: Callable[[], Redis] = pubsub_client
    ) -> None:
        self._database, self._clock, self._client = database, clock, client
        self._redis: Redis | None = None
        self._recorders: dict[int, Recorder] = {}
        self._tasks: dict[int, tuple[int, asyncio.Task[None]]] = {}
        self._news, self._confirmed = asyncio.Event(), 0.0

    def add(self, run_id: int, recorder: Recorder) -> None:
        """Let a run be watched while its recorder is open."""
        self._recorders[run_id] = recorder

        def closed(event: Event | None) -> None:
            if event is None:
                self._recorders.pop(run_id, None)

        recorder.followers.append(closed)

    def heard(self, run_ids: Iterable[int]) -> None:
        """Check immediately, because views of these runs began or ended. Runs of other gateways are
        ignored.
        """
        if any(run_id in self._recorders for run_id in run_ids):
            self._news.set()

    def heard_nothing(self) -> None:
        """Check immediately, because notifications may have been lost."""
        if self._recorders:
            self._news.set()

    async def keep(self) -> None:
        """Start and stop broadcasts forever. No failure here may end a session."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK if self._tasks else None):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._look()
            except Exception as error:  # watching must not affect the watched command
                log.exception("watch.failed", error=type(error).__name__)

    async def close(self) -> None:
        """End every broadcast, and leave the carrier."""
        self._stop()
        if self._redis is not None:
            await self._redis.aclose()

    def _stop(self) -> None:
        for watch_id in list(self._tasks):
            self._end(watch_id)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        runs = {*self._recorders, *(run_id for run_id, _ in self._tasks.values())}
        try:
            found = await self._database.run(open_watches, run_ids=sorted(runs), now=self._clock.now())
        except Unavailable:
            # Without confirmation, watchers get output for the maximum time between two confirmations.
            if loop.time() > self._confirmed + CONFIRMED_FOR.total_seconds():
                self._stop()
            return
        self._confirmed = loop.time()
        for watch_id in self._tasks.keys() - {watch.id for watch in found}:
            self._end(watch_id)
        for watch in found:
            recorder = self._recorders.get(watch.run_id)
            if watch.id not in self._tasks and recorder is not None:
                self._begin(watch, recorder)

    def _begin(self, watch: OpenWatch, recorder: Recorder) -> None:
        if self._redis is None:
            self._redis = self._client()
        try:
            broadcast = Broadcast(watch, recorder, self._redis.publish)
        except OSError as error:
            log.warning("watch.not_begun", run=watch.run_id, error=error.strerror)
            return
        task = asyncio.create_task(broadcast.run(), name=f"watch {watch.id}")
        task.add_done_callback(lambda done: _left(broadcast, done))
        self._tasks[watch.id] = (watch.run_id, task)

    def _end(self, watch_id: int) -> None:
        self._tasks.pop(watch_id)[1].cancel()


def _left(broadcast: Broadcast, done: asyncio.Task[None]) -> None:
    broadcast.leave()
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("watch.failed", error=repr(error))


def _read_before(path: Path, size: int) -> list[Event]:
    """Return the start of a new watcher's output: the terminal's size, and the end of the output in
    the recording's first ``size`` bytes.
    """
    with path.open("rb") as file:
        head = json.loads(file.readline())
        start = file.tell()
        if size - start > MOST_BEFORE:
            file.seek(size - MOST_BEFORE)
            file.readline()
        skipped = file.tell() - start
        lines = file.read(size - file.tell()).splitlines()
    about = {"cols": head["width"], "rows": head["height"], "skipped": skipped}
    return [("start", about), *_joined(json.loads(line)[1:] for line in lines)]


def _joined(events: Iterable[list[str]]) -> Iterable[Event]:
    """Yield events with adjacent output joined, up to the size of a message."""
    kind, parts, size = "o", list[str](), 0
    for next_kind, text in events:
        if parts and (next_kind != kind or kind != "o" or size + len(text) > LARGEST):
            yield kind, "".join(parts)
            parts, size = [], 0
        kind = next_kind
        parts.append(text)
        size += len(text)
    if parts:
        yield kind, "".join(parts)
