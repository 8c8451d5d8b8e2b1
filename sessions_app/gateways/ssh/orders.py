"""Commands that holders start on the page of a grant. They run as those over SSH do; only nobody is connected."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

import structlog

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.gateways.ssh.commands import Command
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.relay import Feed
from sessions_app.operations.sessions.claim_order import Claimed, claim_order
from sessions_app.operations.sessions.fail_order import fail_order
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.queries.orders import orders_to_claim

log = structlog.get_logger(__name__)

# Notifications wake at once; a lost one costs this long.
POLL = 1.0
# What proves the holder of such a session: being signed in to the pages.
PROOF = "page"
OVER = "The grant has ended, or its target was removed. Nothing was run."
FAILED = "Internal error. Nothing is running; see the gateway's log."


class Orders:
    """Claims orders, each once whatever the number of gateways, and runs them."""

    def __init__(self, parts: Parts, registry: Registry, *, is_closed: Callable[[], bool]) -> None:
        self._parts = parts
        self._registry = registry
        self._is_closed = is_closed
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look now: there may be an order."""
        self._wake.set()

    async def keep(self) -> None:
        """Look for orders for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._wake.wait()
            self._wake.clear()
            if self._is_closed():
                continue
            try:
                await self._look()
            except Unavailable as error:
                log.warning("orders.wait", error=str(error))

    async def stop(self) -> None:
        """Let go of what still runs. What is claimed and was not begun says so on the page after a moment."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def _look(self) -> None:
        for order_id in await self._parts.database.run(orders_to_claim, now=self._parts.clock.now()):
            if self._is_closed():
                return
            claimed = await self._parts.database.run(
                claim_order,
                order_id=order_id,
                gateway_id=self._parts.gateway_id,
                now=self._parts.clock.now(),
            )
            if claimed is not None:
                task = asyncio.create_task(self._serve(claimed), name=f"order {order_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, claimed: Claimed) -> None:
        error = ""
        try:
            if claimed.use is None:
                error = OVER
            else:
                await Ordered(self._parts, self._registry, claimed, claimed.use).run()
        except StintError as problem:
            error = str(problem)
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # the edge: one order's fault may not touch the others
            log.exception("order.failed", order=claimed.order_id, error=type(problem).__name__)
            error = FAILED
        if error:
            self._parts.reports.send(
                claimed,
                fail_order,
                order_id=claimed.order_id,
                error=error,
                now=self._parts.clock.now(),
                plain={"error": FAILED},
            )


class Ordered:
    """One order as the user of a session of its own: no input, and what is printed goes to the recording alone."""

    def __init__(self, parts: Parts, registry: Registry, claimed: Claimed, use: Use) -> None:
        """Raises Ended when the grant is known to be over."""
        self._session = OpenSession(registry, use, client_address=claimed.client_address, proof=PROOF)
        self._command = Command(parts, self._session, claimed.line, self, order_id=claimed.order_id)

    async def run(self) -> None:
        """Try the line and run it if it may be. Raises StintError when nothing could be recorded."""
        try:
            self._session.enter(self)
            await self._command.run()
        finally:
            self._session.leave(self)
            self._session.close("done")

    # As a user of its session.

    @property
    def finish_by(self) -> dt.datetime | None:
        """Until when the command may go on past the grant's end."""
        return self._command.finish_by

    @property
    def finish_seconds(self) -> int:
        """For how long the command may go on past the grant's end."""
        return self._command.finish_seconds

    def tell(self, text: str) -> None:
        """The page has its own countdown."""

    def stop(self, reason: str) -> None:
        """Cut the command at once."""
        self._command.stop(reason)

    # As a command's input and output.

    def output(self, data: bytes, *, error: bool) -> None:
        """The recorder has it already."""

    def note(self, text: str) -> None:
        """The page says how the run stands from its row."""

    def attach(self, feed: Feed | None) -> None:
        """There is no input."""
        if feed is not None:
            feed.eof()

    def pause_input(self) -> None:
        """Nothing is sent anyway."""

    def resume_input(self) -> None:
        """Nothing is sent anyway."""
