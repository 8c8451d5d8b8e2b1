"""The gateway's side of a guard: start it, send its heartbeats, and receive its result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.left_in_pods import (
    END,
    HEARTBEAT,
    HEARTBEAT_SECONDS,
    LeftInPod,
    guard_argv,
    parse_left,
    parse_ready,
)
from sessions_app.connectors.kubernetes.remote import STDOUT, Container, Exec, Server, exec_in
from sessions_app.connectors.marks import Mark

# A guard is ready in about 30 ms, and a sweep takes less than two seconds unless a process keeps starting
# others.
READY_SECONDS, SWEEP_SECONDS = 10.0, 20.0
_LONGEST = 4096


class CannotGuard(ConnectorError):
    """No guard can run in the container, so no command may run.

    The message states what the container lacks.
    """


class Guard:
    """A running guard. ``pid`` is its process ID in the container."""

    def __init__(self, stream: Exec) -> None:
        self._stream, self._text = stream, ""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._beat())]
        self.pid = 0

    async def start(self, container: Container) -> None:
        """Wait until the guard is watching. Raises CannotGuard if it is not."""
        line = await self._line(READY_SECONDS)
        pid = parse_ready(line) if line else None
        if pid is None:
            raise CannotGuard(_why(self._stream.status, container), permanent=True)
        self.pid = pid

    async def lost(self) -> None:
        """Wait until the guard's stream has closed. After that, nothing watches the command."""
        await asyncio.shield(self._tasks[0])

    async def end(self, seconds: float = SWEEP_SECONDS) -> LeftInPod | None:
        """Let the guard terminate everything that carries the mark, and return the result; None if no result
        arrives within ``seconds``.
        """
        with contextlib.suppress(ConnectionError):
            await self._stream.send(END)
        line = await self._line(seconds)
        return parse_left(line) if line else None

    async def close(self) -> None:
        """Stop the tasks. A guard that was not ended terminates everything when its stream closes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                await self._stream.send(HEARTBEAT)

    async def _read(self) -> None:
        try:
            async for channel, data in self._stream.output():
                if channel == STDOUT and len(self._text) < _LONGEST:
                    self._take(data.decode("ascii", "replace"))
        finally:
            self._lines.put_nowait(None)

    def _take(self, text: str) -> None:
        *lines, self._text = (self._text + text).split("\n")
        for line in lines:
            self._lines.put_nowait(f"{line}\n")

    async def _line(self, seconds: float) -> str | None:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._lines.get(), seconds)
        return None


def _why(status: dict[str, object] | None, container: Container) -> str:
    said = "".join(char if char.isprintable() else " " for char in str((status or {}).get("message") or ""))[
        :300
    ]
    needs = (
        f"Container {container.name} of {container.pod} can't be watched: its image needs sh, sleep and "
        "/proc."
    )
    return f"{needs} The guard's output: {said}" if said else needs


@contextlib.asynccontextmanager
async def guarded(
    session: aiohttp.ClientSession, server: Server, container: Container, mark: Mark, *, seconds: float
) -> AsyncIterator[Guard]:
    """Watch everything that carries a mark, for at most ``seconds``.

    Start the watched command inside the context, and leave by ``end``: a guard whose stream just closes also
    terminates everything, but reports nothing.

    Raises CannotGuard if the container can't run a guard, and ConnectorError if the API server is unavailable
    or refuses.
    """
    async with exec_in(session, server, container, guard_argv(mark, seconds=seconds), stdin=True) as stream:
        guard = Guard(stream)
        try:
            await guard.start(container)
            yield guard
        finally:
            await guard.close()


async def sweep_pod(
    session: aiohttp.ClientSession, server: Server, container: Container, mark: Mark
) -> LeftInPod | None:
    """Terminate everything in a container that carries a mark, and return the result; None if the guard sends
    none.

    Raises the same errors as ``guarded``.
    """
    async with guarded(session, server, container, mark, seconds=0) as guard:
        return await guard.end()
