"""Turns: few at once in all, and of each kind fewer, so that no kind holds up the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from weakref import WeakValueDictionary


class Turns:
    """Lets ``most`` in at once, and ``each`` of one kind; the others wait in order."""

    def __init__(self, most: int, *, each: int = 1) -> None:
        self._all, self._each = asyncio.Semaphore(most), each
        # One for each kind that has or waits for a turn, and only for that time.
        self._own: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, kind: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        own = self._own.get(kind)
        if own is None:
            own = self._own[kind] = asyncio.Semaphore(self._each)
        # First that of the kind: so it has no more than its share of those who wait for the other.
        async with own, self._all:
            yield
