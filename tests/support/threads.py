"""Helpers to run code in another thread, and to check which threads ran a function."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import pytest
from django.db import connection

from tests.support.waits import PATIENCE

Answer = TypeVar("Answer")


def in_thread(work: Callable[[], Answer]) -> Answer:
    """Run a function in a new thread with its own connection, and return its result."""

    def run() -> Answer:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(run).result(timeout=PATIENCE)


def runs_beside(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> Callable[[], bool]:
    """Track which threads run a function of a module.

    Return a function: whether some did, and the main thread did not.
    """
    threads, really = [], getattr(module, name)

    def noted(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return really(*given)

    monkeypatch.setattr(module, name, noted)
    return lambda: bool(threads) and threading.main_thread() not in threads
