"""Runs operations in threads, each with its own database connection, for an event loop that must
never block.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from broker.kernel.errors import StintError, Unavailable
from broker.kernel.statement import drop_if_cut
from broker.kernel.threads import Threads

T = TypeVar("T")

# In seconds. A connection that was idle for longer is tested before use, because the network may have
# dropped it silently.
_FRESH = 2.0
_used = threading.local()


class NotTaken(StintError):
    """The database refused the statement, and would refuse it again. The reason is in the log."""

    code = "not_taken"
    status = 500


class Database:
    """Runs functions in a few threads, of which one remains when idle.

    Raises ``Unavailable`` if the database fails, and ``NotTaken`` if it refuses.
    """

    def __init__(self, *, threads: int, name: str) -> None:
        self._pool = Threads(threads, name=name, keep=1)

    async def run(self, function: Callable[..., T], /, **arguments: Any) -> T:
        """Return the function's result. Canceling does not stop the function in its thread."""
        loop = asyncio.get_running_loop()
        # The context has the request's ID, which is also in entries of the record.
        work = partial(contextvars.copy_context().run, guarded, function, **arguments)
        return await loop.run_in_executor(self._pool, work)

    def submit(self, function: Callable[..., T], /, **arguments: Any) -> Future[T]:
        """Run a function in one of the threads, for a thread other than the event loop's. Its errors are
        passed on unchanged.

        Raises RuntimeError after ``stop``.
        """
        return self._pool.submit(function, **arguments)

    async def warm(self) -> None:
        """Open the connection of the thread that remains when idle, so that the first use does not wait for
        it.
        """

        def connect() -> None:
            # Each thread has its own connection.
            connection.ensure_connection()

        await self.run(connect)

    def stop(self) -> None:
        """Accept nothing new, and drop queued functions, without waiting for those that run."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def guarded(function: Callable[..., T], /, **arguments: Any) -> T:
    """Call a function with this thread's connection, and close the connection if it fails.

    Raises ``Unavailable`` or ``NotTaken``.
    """
    drop_if_cut()
    if time.monotonic() - getattr(_used, "at", 0.0) > _FRESH:
        connection.close_if_unusable_or_obsolete()
    try:
        return function(**arguments)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise Unavailable("Stint's database did not respond.", hint="Try again in a moment.") from error
    except DatabaseError as error:
        raise NotTaken("Stint could not write the record.", hint="Nothing was run.") from error
    finally:
        _used.at = time.monotonic()
