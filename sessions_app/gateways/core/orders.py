"""Commands that holders start on a grant's page.

Orders run like commands from a terminal, but with no client connected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.spread import spread
from sessions_app.operations.sessions.claim_order import Claimed, claim_order
from sessions_app.operations.sessions.fail_order import fail_order
from sessions_app.queries.gateways.orders import orders_to_claim

log = structlog.get_logger(__name__)

# In seconds. Notifications wake this task immediately. If one is lost, the order waits at most this long,
# until any gateway finds it.
POLL, POLL_OF_MANY = 1.0, 10.0
# The proof of identity in a session for an order: its holder is signed in to the pages.
PROOF = "page"
OVER = "The grant has ended, or its target was removed. Nothing was run."
FAILED = "Internal error. Nothing is running. See the gateway's log."


class Orders:
    """Claims orders of one kind and runs each once, regardless of the number of gateways."""

    def __init__(
        self, shared: Shared, kind: str, run: Callable[[Claimed], Coroutine[Any, Any, None]]
    ) -> None:
        """``run`` tries the line of a valid order, and runs it if allowed. It raises StintError if nothing
        could be recorded.
        """
        self._shared, self._kind, self._run = shared, kind, run
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Accept orders from now on, for as long as the node runs."""
        self._shared.node.on_order.append(self._wake.set)
        self._shared.node.keep(self._keep(), f"{self._kind} orders")

    async def stop(self) -> None:
        """Cancel the running orders.

        A moment later, the page shows which orders were claimed but not started.
        """
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                gateways = self._shared.node.lease.gateways
                async with asyncio.timeout(spread(POLL, gateways=gateways, most=POLL_OF_MANY)):
                    await self._wake.wait()
            self._wake.clear()
            if self._shared.closed_because():
                continue
            try:
                await self._look()
            except Unavailable as error:
                log.warning("orders.wait", error=str(error))

    async def _look(self) -> None:
        run, now = self._shared.database.run, self._shared.node.clock.now
        for order_id in await run(orders_to_claim, kind=self._kind, now=now()):
            if self._shared.closed_because():
                return
            claimed = await run(claim_order, order_id=order_id, gateway_id=self._shared.node.id, now=now())
            if claimed is not None:
                task = asyncio.create_task(self._serve(claimed), name=f"order {order_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, claimed: Claimed) -> None:
        error = ""
        try:
            if claimed.use is None:
                error = f"{claimed.suspended} Nothing was run." if claimed.suspended else OVER
            else:
                await self._run(claimed)
        except StintError as problem:
            error = str(problem)
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # one order's failure must not affect the others
            log.exception("order.failed", order=claimed.order_id, error=type(problem).__name__)
            error = FAILED
        if error:
            self._shared.node.registry.reports.send(
                claimed,
                fail_order,
                order_id=claimed.order_id,
                error=error,
                now=self._shared.node.clock.now(),
                plain={"error": FAILED},
            )
