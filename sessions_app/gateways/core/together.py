"""Carries out the same operation for several callers in one transaction, so that they share its commit."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sessions_app.gateways.core.database import Database, NotTaken

R = TypeVar("R")
Calls = Sequence[Mapping[str, Any]]
# The maximum number of calls in one transaction.
MOST = 100


class Together(Generic[R]):
    """An operation for several callers.

    While one transaction is carried out, calls that arrive wait, and share the next one. So each call waits
    for at most two transactions, and none waits for others to arrive.
    """

    def __init__(
        self, database: Database, one: Callable[..., R], many: Callable[..., Sequence[tuple[R] | None]]
    ) -> None:
        """``one`` is the operation. ``many`` carries out several calls, each a mapping of arguments, and
        returns the result of each, or None for a call that it leaves to ``one``. It must not wait for the
        lock of a single grant, because all callers would wait with it.
        """
        self._database, self._one, self._many = database, one, many
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[tuple[R] | None]]] = []
        self._lane: asyncio.Task[None] | None = None

    async def run(self, **arguments: Any) -> R:
        """Return the result of one call. Raises the operation's errors, and those of `Database.run`."""
        done: asyncio.Future[tuple[R] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((arguments, done))
        if self._lane is None:
            # The lane works for many requests, so it has the ID of none.
            self._lane = asyncio.create_task(self._work(), context=contextvars.Context())
        result = await done
        return result[0] if result is not None else await self._database.run(self._one, **arguments)

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._carry_out([call for call, _ in taken], [done for _, done in taken])
        finally:
            self._lane = None

    async def _carry_out(self, calls: Calls, waiting: Sequence[asyncio.Future[tuple[R] | None]]) -> None:
        try:
            results = await self._outcomes(calls)
        except Exception as error:  # noqa: BLE001  # raised in each caller
            for done in waiting:
                if not done.done():
                    done.set_exception(error)
            return
        for done, result in zip(waiting, results, strict=True):
            if not done.done():
                done.set_result(result)

    async def _outcomes(self, calls: Calls) -> Sequence[tuple[R] | None]:
        try:
            return await self._database.run(self._many, calls=calls)
        except NotTaken:
            # One of the calls can't be stored, so each is carried out alone.
            return [None] * len(calls)
