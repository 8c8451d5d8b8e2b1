"""A thread pool. Threads that are idle for a while end, and close their database connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

# Seconds.
IDLE = 5.0
_Act = Callable[[], object]


class Threads(Executor):
    """A pool of at most ``most`` threads. The thread that became idle last is used first, so that the others
    can end.

    ``keep`` of them never end. All are daemon threads, which don't keep the process from exiting.
    """

    def __init__(self, most: int, *, name: str, keep: int = 0, idle: float = IDLE) -> None:
        self._most, self._name, self._keep, self._idle_s = most, name, keep, idle
        self._lock = threading.Lock()
        self._count = 0
        self._waiting: deque[tuple[Future[Any], _Act]] = deque()
        # The mailboxes of idle threads, the most recently idle last.
        self._idle: list[SimpleQueue[tuple[Future[Any], _Act] | None]] = []
        self._stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function in a thread as soon as one is free. Raises RuntimeError after the shutdown."""
        future: Future[T] = Future()
        work = (future, lambda: fn(*args, **kwargs))
        with self._lock:
            if self._stopped:
                raise RuntimeError(f"the threads {self._name} are stopped")
            if self._idle:
                self._idle.pop().put(work)
            elif self._count < self._most:
                name = f"{self._name}_{self._count}"
                self._count += 1
                threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()
            else:
                self._waiting.append(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no new calls, and end the threads when they are done. Never waits for them, even with
        ``wait``.
        """
        with self._lock:
            self._stopped = True
            dropped = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            while self._idle:
                self._idle.pop().put(None)
        for future, _ in dropped:
            future.cancel()

    def _run(self, work: tuple[Future[Any], _Act] | None) -> None:
        try:
            while work is not None:
                _carry_out(*work)
                # Release the function and its result while this thread is idle.
                work = None
                work = self._next()
        finally:
            connections.close_all()

    def _next(self) -> tuple[Future[Any], _Act] | None:
        """Return this thread's next call, or None to end it."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._stopped:
                self._count -= 1
                return None
            mine: SimpleQueue[tuple[Future[Any], _Act] | None] = SimpleQueue()
            self._idle.append(mine)
        while True:
            try:
                return mine.get(timeout=self._idle_s)
            except Empty:
                with self._lock:
                    if mine in self._idle and self._count > self._keep:
                        self._idle.remove(mine)
                        self._count -= 1
                        return None


def _carry_out(future: Future[Any], act: _Act) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(act())
    except BaseException as error:  # noqa: BLE001  # raised again in the caller
        future.set_exception(error)
