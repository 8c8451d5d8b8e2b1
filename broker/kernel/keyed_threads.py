"""Threads for tasks that wait for other systems, so that these tasks don't delay others."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Hashable

import structlog
from django.db import close_old_connections

from broker.kernel.errors import Overtaken
from broker.kernel.threads import Threads

log = structlog.get_logger(__name__)


class KeyedThreads:
    """A pool that runs a limited number of tasks in parallel, and at most one per key. Tasks that can't be
    started are not queued.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[Hashable] = set()
        self._lock = threading.Lock()
        # Idle threads keep their database connections for a while.
        self._threads = Threads(most, name="keyed-threads")

    def start(self, key: Hashable, act: Callable[[], object]) -> bool:
        """Start a task, unless one with the same key is running or all threads are busy. Return whether it
        was started.
        """
        with self._lock:
            if key in self._busy or len(self._busy) >= self._most:
                return False
            self._busy.add(key)
        # The task keeps the context of the request that started it.
        run = contextvars.copy_context().run
        self._threads.submit(run, self._work, key, act)
        return True

    def _work(self, key: Hashable, act: Callable[[], object]) -> None:
        try:
            close_old_connections()
            act()
        except Overtaken as error:
            log.info("keyed_threads.overtaken", key=str(key), why=str(error))
        except Exception:
            # Catch everything, because no other code would. The row will be found again.
            log.exception("keyed_threads.failed", key=str(key))
        finally:
            with self._lock:
                self._busy.discard(key)
