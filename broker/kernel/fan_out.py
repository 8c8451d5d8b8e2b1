"""Concurrent calls to many other systems. Each group of calls gets a few threads, so that hanging calls delay
few others.

The calls run in threads. Their results are handled in the thread that waits for them, so only that thread
needs a database connection.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.kernel.threads import Threads

T = TypeVar("T")

# The maximum number of concurrent calls, and one group's share of them if there are many groups. A call that
# takes longer than SILENCE seconds no longer counts against AT_ONCE, up to MOST calls in total. Half of these
# are for groups without such slow calls.
AT_ONCE, OF_GROUP = 32, 8
SILENCE = 2.0
MOST = 128
# Seconds between two checks for slow calls.
LOOK = 0.5


@dataclass(eq=False)
class _Call:
    group: int
    act: Callable[[], Any]
    then: Callable[[Any], object]
    late: Any
    began: float = 0.0

    def silent(self, now: float) -> bool:
        return now - self.began >= SILENCE


class FanOut:
    """A set of calls: ``add`` calls, then ``run`` them. Groups take turns, and calls of a group start in
    order.
    """

    def __init__(self, threads: Threads, *, longest: float) -> None:
        """Create a set. A call that takes longer than ``longest`` seconds is abandoned, because it may never
        return.
        """
        self._threads, self._longest = threads, longest
        # The most recently served group is at the end.
        self._waiting: dict[int, deque[_Call]] = {}
        self._asked: dict[Future[Any], _Call] = {}

    def add(self, group: int, act: Callable[[], T], *, then: Callable[[T], object], late: T) -> None:
        """Add a call of ``act``, which must not raise, in a thread. ``then`` gets its result, or ``late`` if
        it was abandoned, and may add more calls.
        """
        self._waiting.setdefault(group, deque()).append(_Call(group, act, then, late))

    def run(self, *, meanwhile: Callable[[bool], object]) -> None:
        """Make all calls, and return when all are done. ``meanwhile`` is called at least every half second,
        with True if no calls are left. It can add more calls.
        """
        while self._waiting or self._asked:
            self._begin()
            done, _ = wait(self._asked, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                self._asked.pop(future).then(future.result())
            self._give_up()
            meanwhile(not self._waiting and not self._asked)

    def _begin(self) -> None:
        """Start calls of the groups in turn until the limits are reached."""
        now = time.monotonic()
        silent = Counter(call.group for call in self._asked.values() if call.silent(now))
        speaking = Counter(call.group for call in self._asked.values() if not call.silent(now))
        # The fewer groups there are, the larger is each group's share.
        share = max(OF_GROUP, AT_ONCE // (len(self._waiting.keys() | speaking.keys()) or 1))
        begun = True
        while begun:
            begun = False
            for group in list(self._waiting):
                if speaking.total() >= AT_ONCE or len(self._asked) >= MOST:
                    return
                if speaking[group] < share and (not silent[group] or silent.total() < MOST // 2):
                    speaking[group] += 1
                    self._call(self._pop(group), now)
                    begun = True

    def _pop(self, group: int) -> _Call:
        waiting = self._waiting.pop(group)
        call = waiting.popleft()
        if waiting:
            self._waiting[group] = waiting
        return call

    def _call(self, call: _Call, now: float) -> None:
        call.began = now
        self._asked[self._threads.submit(call.act)] = call

    def _give_up(self) -> None:
        over = time.monotonic() - self._longest
        for future, call in list(self._asked.items()):
            if call.began < over and not future.done():
                del self._asked[future]
                call.then(call.late)
