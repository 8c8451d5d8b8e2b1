"""Waits for threads, databases and processes: the only limits in seconds that quick tests have.

No machine is slow enough to reach them. They keep a failing test from hanging.
"""

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable

from tests.support.pace import allow

PATIENCE = 60.0


def eventually(truth: Callable[[], object], *, within: float = PATIENCE, every: float = 0.02) -> float:
    """Wait until a condition is true, and return how long it took. Fails if it takes too long.

    A slow condition, which may read all of /proc, is checked less often, so that checks take a tenth of the
    time.
    """
    began = time.monotonic()
    while not truth():
        took = time.monotonic() - began
        assert took < within or took < allow(within), f"it was not so within {took:.1f} s"
        time.sleep(max(every, min(0.25, took / 10)))
    return time.monotonic() - began


async def comes_true(truth: Callable[[], object]) -> None:
    """Wait in an event loop until a condition, perhaps awaitable, becomes true through threads or the
    database.
    """
    end = time.monotonic() + PATIENCE
    while not (await found if inspect.isawaitable(found := truth()) else found):
        assert time.monotonic() < end, "it did not come true"
        await asyncio.to_thread(time.sleep, 0.002)


def happens(event: threading.Event) -> None:
    """Wait until an event is set."""
    assert event.wait(PATIENCE), "it did not happen"


def ends(thread: threading.Thread) -> None:
    """Wait until a thread has ended."""
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"{thread.name} goes on"


def drip(send: Callable[[bytes], object], piece: bytes, stop: threading.Event) -> None:
    """Send a piece repeatedly until ``stop`` is set or the receiver has gone."""
    with contextlib.suppress(OSError):
        while not stop.wait(0.02):
            send(piece)
