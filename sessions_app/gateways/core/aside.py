"""Runs long computations on data from clients and targets outside the event loop, so that they don't delay
the end of a grant.

Python runs one thread at a time, but switches to the event loop every few milliseconds. These threads are
separate from the database's, which the record needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Up to this many bytes are processed faster than a thread starts.
SMALL = 16 * 1024
# A thread starts with its first task.
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="aside")


async def aside(size: int, function: Callable[..., T], /, *given: Any, **named: Any) -> T:
    """Return the result of a function that reads or writes ``size`` bytes.

    Canceling does not stop a function that is already running.
    """
    work = partial(function, *given, **named)
    return work() if size <= SMALL else await asyncio.get_running_loop().run_in_executor(_THREADS, work)
