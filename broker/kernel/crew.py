"""Work that waits for others, in threads of its own, so that it keeps nobody else's work waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import structlog
from django.db import connections

log = structlog.get_logger(__name__)


class Crew:
    """At most so many acts at once, and one at a time for each key. What does not fit is left for the next time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[Hashable] = set()
        self._lock = threading.Lock()

    def start(self, key: Hashable, act: Callable[[], object]) -> bool:
        """Start an act, unless one of its key is under way or all are busy; return whether it began."""
        with self._lock:
            if key in self._busy or len(self._busy) >= self._most:
                return False
            self._busy.add(key)
        threading.Thread(target=self._work, args=(key, act), name=f"crew-{key}", daemon=True).start()
        return True

    def _work(self, key: Hashable, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception:
            # The edge of a thread: there is nobody to raise it to, and the row is found again.
            log.exception("crew.failed", key=str(key))
        finally:
            connections.close_all()
            with self._lock:
                self._busy.discard(key)
