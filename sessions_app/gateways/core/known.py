"""The order in which tokens are checked: tokens that were valid a moment ago are checked first, all others
wait their turn.

So a flood of unknown tokens occupies only a few of the database threads, which requests and ends also need.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar, cast

from broker.kernel.errors import StintError, Unavailable
from broker.kernel.networks import source_of
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.turns import Turns

T = TypeVar("T")

# How many token digests are stored, and for how many seconds after their last use.
MOST, KEPT_S = 20_000, 3600.0
# The number of threads for unknown tokens.
STRANGERS = 1
# The maximum number of requests with unknown tokens that can run or wait: from one address, and in total.
MOST_OF_ONE, MOST_OF_ALL = 50, 1000


class Admissions:
    """Schedules the checks of tokens.

    The schedule affects only the order of the checks, not their results.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = Turns(STRANGERS)
        self._strangers: Counter[str] = Counter()
        self._known: OrderedDict[str, float] = OrderedDict()
        # Checks that are about to run, and that other requests can still share.
        self._open: dict[Hashable, asyncio.Future[Any]] = {}
        self._asking: set[asyncio.Task[Any]] = set()

    async def ask(self, digest: str, client: str, function: Callable[..., T], /, **arguments: Any) -> T:
        """Return the result of a function that raises, or returns None, if the token is not valid.

        Raises Unavailable if too many requests with unknown tokens are waiting.
        """
        async with contextlib.AsyncExitStack() as stack:
            if not self._is_known(digest):
                # All addresses of one IPv6 network count as one.
                await stack.enter_async_context(self._turn(source_of(client)))
            # The thread continues even if the caller is gone, so the turn must last until the thread ends.
            asking = self._begin(self._ask_in(stack.pop_all(), digest, partial(function, **arguments)))
        return await asyncio.shield(asking)

    async def queue(self, client: str, function: Callable[..., T], /, **arguments: Any) -> T:
        """Return the result of a function that reads data for a client without a proven token.

        Raises Unavailable if too many requests with unknown tokens are waiting.
        """
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._turn(source_of(client)))
            asking = self._begin(self._run_in(stack.pop_all(), partial(function, **arguments)))
        return await asyncio.shield(asking)

    async def share(
        self,
        key: Hashable,
        digest: str,
        client: str,
        directly: Callable[[], Awaitable[T | None]],
        function: Callable[..., T],
        /,
        **arguments: Any,
    ) -> T:
        """Like ``ask``, but run the function only once for all requests with the same key that arrive before
        its query.

        Each request gets a result that is newer than its arrival. A refusal is not shared, so that each one
        is recorded.

        ``directly`` queries without a thread, and returns None if only ``function`` can decide.
        """
        if not self._is_known(digest):
            return await self.ask(digest, client, function, **arguments)
        others = self._open.get(key)
        if others is None:
            soon = self._ask_soon(key, digest, directly, partial(function, **arguments))
            asking = self._open[key] = self._begin(soon)
            return await asyncio.shield(asking)
        try:
            return cast("T", await asyncio.shield(others))
        except StintError:
            raise
        except Exception:  # noqa: BLE001  # a refusal; each caller gets its own
            return await self.ask(digest, client, function, **arguments)

    async def _ask_soon(
        self,
        key: Hashable,
        digest: str,
        directly: Callable[[], Awaitable[T | None]],
        function: Callable[[], T],
    ) -> T:
        # Include requests that arrive in the same iteration of the event loop.
        await asyncio.sleep(0)
        del self._open[key]
        found = await directly()
        if found is None:
            return await self._ask(digest, function)
        self._note(digest, valid=True)
        return found

    def _is_known(self, digest: str) -> bool:
        return self._known.get(digest, 0.0) >= time.monotonic()

    def _begin(self, question: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        asking = asyncio.create_task(question)
        self._asking.add(asking)
        asking.add_done_callback(self._answered)
        return asking

    def _answered(self, asking: asyncio.Task[Any]) -> None:
        self._asking.discard(asking)
        # If the caller is gone, nothing else retrieves the exception.
        if not asking.cancelled():
            asking.exception()

    @contextlib.asynccontextmanager
    async def _turn(self, source: str) -> AsyncIterator[None]:
        if self._strangers[source] >= MOST_OF_ONE or self._strangers.total() >= MOST_OF_ALL:
            raise Unavailable(
                "Too many requests with unknown tokens are waiting.", hint="Try again in a moment."
            )
        self._strangers[source] += 1
        try:
            async with self._turns.turn(source):
                yield
        finally:
            self._strangers[source] -= 1
            if not self._strangers[source]:
                del self._strangers[source]

    async def _ask_in(self, turn: contextlib.AsyncExitStack, digest: str, function: Callable[[], T]) -> T:
        async with turn:
            return await self._ask(digest, function)

    async def _run_in(self, turn: contextlib.AsyncExitStack, function: Callable[[], T]) -> T:
        async with turn:
            return await self._database.run(function)

    async def _ask(self, digest: str, function: Callable[[], T]) -> T:
        try:
            found = await self._database.run(function)
        except StintError:
            # The check failed because of the database, so the token may still be valid.
            raise
        except Exception:
            self._note(digest, valid=False)
            raise
        self._note(digest, valid=found is not None)
        return found

    def _note(self, digest: str, *, valid: bool) -> None:
        if not valid:
            self._known.pop(digest, None)
            return
        self._known[digest] = time.monotonic() + KEPT_S
        self._known.move_to_end(digest)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
