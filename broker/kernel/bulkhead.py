"""Calls to other systems in a few threads, so that those that never answer keep no one else waiting."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog
from django.db import connections

from broker.kernel.errors import Overtaken
from broker.kernel.threads import Threads

log = structlog.get_logger(__name__)

# A group gets a few threads, so that one with members that hang does not take them all. After a turn, in seconds, a
# group with many items lets others have theirs.
THREADS, THREADS_PER_GROUP = 12, 6
TURN = 0.5
# A call that was silent for this many seconds gives its place to another, until there are this many threads.
SILENCE = 2.0
MOST = 4 * THREADS


@dataclass(eq=False)
class _Work:
    """The work of one thread: the items of a group, one after the other."""

    group: int
    item: int
    since: float = field(default_factory=time.monotonic)

    @property
    def silent(self) -> bool:
        return time.monotonic() - self.since >= SILENCE


class Bulkhead:
    """Runs one act for each item, and each group's items in the order in which they were taken.

    ``group_of`` maps items to their groups; items that it leaves out are dropped. ``on_idle`` is called when a group
    has nothing left.
    """

    def __init__(
        self,
        act: Callable[[int], object],
        *,
        group_of: Callable[[Iterable[int]], Mapping[int, int]],
        on_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._act, self._group_of, self._on_idle = act, group_of, on_idle
        self._pool = Threads(MOST, name="bulkhead")
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        # The group that was served last is at the end.
        self._waiting: dict[int, deque[int]] = {}
        self._works: set[_Work] = set()
        self._stopped = False
        self._go = threading.Event()
        self._go.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Start nothing new while the block runs."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def take(self, items: Iterable[int]) -> None:
        """Take these items as well, unless they are already taken. Call it regularly: calls fall silent in the
        meantime.
        """
        with self._lock:
            fresh = [item for item in items if item not in self._taken]
        groups = self._group_of(fresh) if fresh else {}
        with self._lock:
            for item, group in groups.items():
                if item not in self._taken:
                    self._taken.add(item)
                    self._waiting.setdefault(group, deque()).append(item)
            self._begin()

    def stop(self) -> None:
        """Start nothing new."""
        with self._lock:
            self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        """Start threads until all places are taken. The lock is held."""
        while not self._stopped and (group := self._next_group()) is not None:
            work = _Work(group, self._pop(group))
            self._works.add(work)
            self._pool.submit(self._work, work)

    def _next_group(self) -> int | None:
        """Return the group that gets the next thread: of those that wait, the one that has the fewest."""
        busy = Counter(work.group for work in self._works)
        silent = Counter(work.group for work in self._works if work.silent)
        if busy.total() >= MOST or busy.total() - silent.total() >= THREADS:
            return None
        # While silent calls hold half of all threads, the rest is for groups whose calls are mostly not silent.
        most = THREADS_PER_GROUP if silent.total() < MOST // 2 else THREADS_PER_GROUP // 2
        free = [group for group in self._waiting if busy[group] < THREADS_PER_GROUP and silent[group] <= most]
        return min(free, key=busy.__getitem__, default=None)

    def _pop(self, group: int) -> int:
        waiting = self._waiting.pop(group)
        item = waiting.popleft()
        if waiting:
            self._waiting[group] = waiting
        return item

    def _work(self, work: _Work) -> None:
        turn_over = time.monotonic() + TURN
        try:
            self._do(work)
            while self._goes_on(work, turn_over):
                self._do(work)
        finally:
            self._leave(work)

    def _goes_on(self, work: _Work, turn_over: float) -> bool:
        """Whether the thread has another item, before it is the turn of others."""
        with self._lock:
            if self._stopped or time.monotonic() >= turn_over or work.group not in self._waiting:
                return False
            work.item = self._pop(work.group)
            return True

    def _do(self, work: _Work) -> None:
        self._go.wait()
        work.since = time.monotonic()
        try:
            self._act(work.item)
        except Overtaken as error:
            log.info("bulkhead.overtaken", item=work.item, why=str(error))
        except Exception:
            # The edge of a thread: one item must not stop the others, and it will be found again.
            log.exception("bulkhead.failed", item=work.item)
        finally:
            with self._lock:
                self._taken.discard(work.item)

    def _leave(self, work: _Work) -> None:
        with self._lock:
            self._works.discard(work)
            self._begin()
            idle, many = work.group not in self._waiting, len(self._works) >= THREADS
        if many:
            connections.close_all()
        if idle:
            self._on_idle()
