"""Another connection for a moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

from tests.support.waits import PATIENCE

Answer = TypeVar("Answer")


def in_thread(work: Callable[[], Answer]) -> Answer:
    """Do something in a thread of its own, with a connection of its own, and return what it returns."""

    def run() -> Answer:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(run).result(timeout=PATIENCE)
