"""Listens for PostgreSQL notifications of ended grants, decisions and orders. Each notification is sent in
the transaction that makes the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from broker.kernel.database import conninfo

log = structlog.get_logger(__name__)

GRANTS, HOLDS, ORDERS, WATCHES = "stint_grant", "stint_hold", "stint_order", "stint_watch"
STOPS = "stint_stop"
FIRST_RETRY, LAST_RETRY = 0.1, 2.0


def numbers(payload: str) -> list[int]:
    """Return the ids in a payload. Words that are not numbers are ignored."""
    return [int(word) for word in payload.split() if word.isascii() and word.isdigit()]


async def listen(
    *,
    on_grants: Callable[[list[int]], Awaitable[None]],
    on_hold: Callable[[int], None],
    on_order: Callable[[], None],
    on_watch: Callable[[list[int]], None],
    on_stop: Callable[[list[int]], None],
    on_gap: Callable[[], Awaitable[None]],
) -> None:
    """Listen forever.

    ``on_gap`` is called after each connection or reconnection, because earlier notifications were missed.
    """
    wait = FIRST_RETRY
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
                await connection.execute(f"LISTEN {GRANTS}")
                await connection.execute(f"LISTEN {HOLDS}")
                await connection.execute(f"LISTEN {ORDERS}")
                await connection.execute(f"LISTEN {WATCHES}")
                await connection.execute(f"LISTEN {STOPS}")
                await on_gap()
                wait = FIRST_RETRY
                async for notice in connection.notifies():
                    if notice.channel == GRANTS:
                        await on_grants(numbers(notice.payload))
                    elif notice.channel == ORDERS:
                        on_order()
                    elif notice.channel == WATCHES:
                        on_watch(numbers(notice.payload))
                    elif notice.channel == STOPS:
                        on_stop(numbers(notice.payload))
                    else:
                        for run_id in numbers(notice.payload):
                            on_hold(run_id)
        except (psycopg.Error, OSError) as error:
            log.warning("listener.lost", error=str(error).strip())
        await asyncio.sleep(wait)
        wait = min(LAST_RETRY, wait * 2)


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until the task has ended. The task's own exception is not raised."""
    task.cancel()
    await asyncio.wait({task})
