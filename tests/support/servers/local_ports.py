"""Local ports of `stint tunnel`, served by a thread of the test."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from broker.cli.localport import LocalPort


@contextlib.contextmanager
def served(made: LocalPort) -> Iterator[int]:
    """Serve a local port until the block ends. Yields its number."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with await made.serve(0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await over.wait()
            await made.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()
