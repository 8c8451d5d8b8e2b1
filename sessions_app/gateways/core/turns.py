"""Limits how many tasks run at the same time, in total and of each kind, so that no kind blocks the
others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from weakref import WeakValueDictionary


class Turns:
    """Admits at most ``most`` tasks at the same time, and at most ``each`` of one kind; the others wait in
    order.
    """

    def __init__(self, most: int, *, each: int = 1) -> None:
        self._all, self._each = asyncio.Semaphore(most), each
        # One entry for each kind that currently has a turn or waits for one.
        self._own: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, kind: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and keep it until the block ends."""
        own = self._own.get(kind)
        if own is None:
            own = self._own[kind] = asyncio.Semaphore(self._each)
        # Wait for the kind's limit first, so that no kind takes more than its share of the places in line
        # for the total.
        async with own, self._all:
            yield
