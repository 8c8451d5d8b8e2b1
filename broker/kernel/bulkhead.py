"""A bulkhead for calls to other systems, so that hanging calls don't delay other calls."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog
from django.db import close_old_connections, connections

from broker.kernel.errors import Overtaken
from broker.kernel.threads import Threads

log = structlog.get_logger(__name__)

# A group gets only a few threads, so that a hanging group does not take all of them. A group with many items
# yields to other groups after a turn of this many seconds.
THREADS, THREADS_PER_GROUP = 12, 6
TURN = 0.5
# A call that takes longer than this many seconds no longer counts against THREADS, up to this many threads in
# total.
SILENCE = 2.0
MOST = 4 * THREADS


@dataclass(eq=False)
class _Work:
    """The turn of one thread, which processes the items of a group, one after another."""

    group: int
    item: int
    since: float = field(default_factory=time.monotonic)

    @property
    def silent(self) -> bool:
        return time.monotonic() - self.since >= SILENCE


class Bulkhead:
    """A pool that calls ``act`` for each item, in order within each group.

    ``group_of`` maps items to groups; items that it omits are dropped. ``on_idle`` is called with a group
    that has no items left.
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
        # The most recently served group is at the end.
        self._waiting: dict[int, deque[int]] = {}
        self._works: set[_Work] = set()
        self._stopped = False
        self._go = threading.Event()
        self._go.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Start no new calls while the block runs."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def take(self, items: Iterable[int]) -> None:
        """Add items that were not added yet. Call this regularly, because only this method frees the slots of
        slow calls.
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
        """Stop starting new calls."""
        with self._lock:
            self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        """Start threads until the limits are reached. Requires the lock."""
        while not self._stopped and (group := self._next_group()) is not None:
            work = _Work(group, self._pop(group))
            self._works.add(work)
            self._pool.submit(self._work, work)

    def _next_group(self) -> int | None:
        """Return the group that gets the next thread: of the groups with waiting items, the one with the
        fewest threads.
        """
        busy = Counter(work.group for work in self._works)
        silent = Counter(work.group for work in self._works if work.silent)
        if busy.total() >= MOST or busy.total() - silent.total() >= THREADS:
            return None
        # While slow calls occupy half of all threads, the other half is reserved for groups without many slow
        # calls.
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
        """Take the group's next item. Return False if there is none or the turn is over."""
        with self._lock:
            if self._stopped or time.monotonic() >= turn_over or work.group not in self._waiting:
                return False
            work.item = self._pop(work.group)
            return True

    def _do(self, work: _Work) -> None:
        self._go.wait()
        work.since = time.monotonic()
        # Close lost connections, as Django does before each request. Otherwise, this thread would fail for
        # each of its items.
        try:
            close_old_connections()
            self._act(work.item)
        except Overtaken as error:
            log.info("bulkhead.overtaken", item=work.item, why=str(error))
        except Exception:
            # Catch everything, because a failed item must not stop the others. The failed item will be
            # added again.
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
