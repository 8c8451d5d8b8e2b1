"""Another thread for a moment, and which threads did something."""

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
    """Do something in a thread of its own, with a connection of its own, and return what it returns."""

    def run() -> Answer:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(run).result(timeout=PATIENCE)


def runs_beside(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> Callable[[], bool]:
    """Note which threads run a function of a module; return what says whether some did, and the main thread did not."""
    threads, really = [], getattr(module, name)

    def noted(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return really(*given)

    monkeypatch.setattr(module, name, noted)
    return lambda: bool(threads) and threading.main_thread() not in threads
