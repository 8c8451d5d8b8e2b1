"""Limits the memory for request bodies: a request that waits for its decision keeps its body."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from broker.kernel.errors import StintError

# Bytes in memory, for one grant and for all grants.
MOST_OF_ONE, MOST_OF_ALL = 32 * 1024 * 1024, 256 * 1024 * 1024


class BodiesTooLarge(StintError):
    """The gateway already holds the maximum number of request bodies. Try again in a moment."""

    code = "bodies_too_large"
    status = 503


class BodyBudget:
    """The bytes of bodies in memory, by the grant of their requests."""

    def __init__(self, *, of_one: int = MOST_OF_ONE, of_all: int = MOST_OF_ALL) -> None:
        """``of_one`` and ``of_all`` are the maximum bytes for one grant and for all grants; a grant's only
        body may be larger.
        """
        self._of_one, self._of_all = of_one, of_all
        self._kept: Counter[int] = Counter()

    @contextlib.contextmanager
    def taken(self, grant_id: int, size: int) -> Iterator[None]:
        """Reserve this many bytes until the block ends. Raises BodiesTooLarge."""
        self._check(self._kept[grant_id], self._of_one, size)
        self._check(self._kept.total(), self._of_all, size)
        self._kept[grant_id] += size
        try:
            yield
        finally:
            self._kept[grant_id] -= size
            if not self._kept[grant_id]:
                del self._kept[grant_id]

    @staticmethod
    def _check(kept: int, most: int, size: int) -> None:
        if size and kept and kept + size > most:
            raise BodiesTooLarge("Too many large requests are in progress.", hint="Try again in a moment.")
