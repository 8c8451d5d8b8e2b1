"""Reports of ends to the database.

Ends never wait for the database, and reports are repeated until the database has accepted them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, KeysView, Mapping
from typing import Any

import structlog

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database, NotTaken
from sessions_app.gateways.core.together import Calls, Together
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.finish_runs import finish_runs

log = structlog.get_logger(__name__)

RETRY = 1.0


class Reports:
    """Sends reports, in order within each session's chain."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ends: Together[None] = Together(database, finish_run, _finish_all)
        self._last: dict[object, asyncio.Task[None]] = {}
        # Called after an accepted report whose operation returned true, which means that a task is now due.
        self.on_delivered: Callable[[], None] = _nothing

    def send(
        self, chain: object, function: Callable[..., object], /, *, plain: Mapping[str, Any], **arguments: Any
    ) -> None:
        """Call an operation in a thread, after earlier calls on the same chain, until the database has
        accepted it.

        ``plain`` replaces data from outside if the database refuses it. A report that is refused again is
        dropped if other reports follow it. So no data from a holder or a target can keep a session from being
        closed.
        """
        before = self._last.get(chain)
        task = asyncio.get_running_loop().create_task(
            self._deliver(chain, before, function, arguments, {**arguments, **plain})
        )
        self._last[chain] = task
        task.add_done_callback(lambda done: self._forget(chain, done))

    def chains(self) -> KeysView[object]:
        """Return the chains with undelivered reports."""
        return self._last.keys()

    async def wait(self, seconds: float) -> bool:
        """Wait for at most ``seconds``, and return whether everything was delivered."""
        if not self._last:
            return True
        _, waiting = await asyncio.wait(self._last.values(), timeout=seconds)
        return not waiting

    async def _deliver(
        self,
        chain: object,
        before: asyncio.Task[None] | None,
        function: Callable[..., object],
        arguments: dict[str, Any],
        plain: dict[str, Any],
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        while True:
            try:
                made_due = await self._call(function, arguments)
            except Unavailable as error:
                log.warning("report.waits", what=function.__name__, error=str(error))
                await asyncio.sleep(RETRY)
            except NotTaken as error:
                log.error("report.refused", what=function.__name__, cause=str(error.__cause__))  # noqa: TRY400  # a cause
                if arguments is not plain:
                    arguments = plain
                elif self._last.get(chain) is not asyncio.current_task():
                    return
                else:
                    await asyncio.sleep(RETRY)
            else:
                if made_due:
                    self.on_delivered()
                return

    async def _call(self, function: Callable[..., object], arguments: dict[str, Any]) -> object:
        if function is finish_run:
            await self._ends.run(**arguments)
            return None
        return await self._database.run(function, **arguments)

    def _forget(self, chain: object, task: asyncio.Task[None]) -> None:
        if self._last.get(chain) is task:
            del self._last[chain]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("report.failed", error=f"{type(error).__name__}: {error}")


def _finish_all(*, calls: Calls) -> list[tuple[None] | None]:
    return [(None,) if done else None for done in finish_runs(ends=calls)]


def _nothing() -> None:
    """Do nothing: no one is waiting."""
