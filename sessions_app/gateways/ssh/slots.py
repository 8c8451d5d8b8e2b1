"""Limits on concurrent transfers, so that one holder's transfers don't block others."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

from broker.kernel.errors import StintError

# Maximum transfers of one grant, and of all grants at this gateway.
MOST_OF_ONE, MOST_OF_ALL = 8, 64


class TooManyTransfers(StintError):
    """Too many files are open. Nothing was transferred. Try again when a transfer is done."""

    code = "too_many_transfers"
    status = 429


class Slots:
    """The transfers under way, by the id of their grant."""

    def __init__(self, *, of_one: int = MOST_OF_ONE, of_all: int = MOST_OF_ALL) -> None:
        self._of_one, self._of_all = of_one, of_all
        self._taken: Counter[int] = Counter()

    def take(self, grant_id: int) -> Callable[[], None]:
        """Take a slot, and return a function that releases it. Calling that function again does nothing.

        Raises TooManyTransfers.
        """
        if self._taken[grant_id] >= self._of_one or self._taken.total() >= self._of_all:
            raise TooManyTransfers("Too many files are open.", hint="Try again when a transfer is done.")
        self._taken[grant_id] += 1
        stack = contextlib.ExitStack()
        stack.callback(self._give_back, grant_id)
        return stack.close

    @contextlib.contextmanager
    def taken(self, grant_id: int) -> Iterator[None]:
        """Take a slot until the block ends. Raises TooManyTransfers."""
        give_back = self.take(grant_id)
        try:
            yield
        finally:
            give_back()

    def _give_back(self, grant_id: int) -> None:
        self._taken[grant_id] -= 1
        if not self._taken[grant_id]:
            del self._taken[grant_id]


SLOTS = Slots()
