"""Work on what clients and targets send, beside the event loop, which must turn for everybody's ends.

Python runs one thread at a time, but gives the loop its turn every few milliseconds. These threads are none of the
database's, which the record needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Bytes that are read sooner than a thread would begin.
SMALL = 16 * 1024
# A thread starts with the first work that it gets.
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="aside")


async def aside(size: int, function: Callable[..., T], /, *given: Any, **named: Any) -> T:
    """Return what a function returns that reads or writes ``size`` bytes. Canceling does not stop it once it runs."""
    work = partial(function, *given, **named)
    return work() if size <= SMALL else await asyncio.get_running_loop().run_in_executor(_THREADS, work)
