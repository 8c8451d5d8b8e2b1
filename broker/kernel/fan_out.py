"""Call many other systems at once, with a few threads for each group of them, so that those that hang delay few others.

The calls run in threads, and what follows from them in the thread that waits for them, which alone needs a database.
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

# Calls at once, and those that one of many groups may have. One that was silent for as many seconds gives its place to another, until there are
# this many calls; half of these are for groups of which none is silent.
AT_ONCE, OF_GROUP = 32, 8
SILENCE = 2.0
MOST = 128
# Seconds between two looks at what fell silent.
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
    """``add`` what is to be called, then ``run``. Groups take turns, each with its calls in their order."""

    def __init__(self, threads: Threads, *, longest: float) -> None:
        """A call that takes longer than so many seconds is given up: its thread may never come back."""
        self._threads, self._longest = threads, longest
        # The group that was served last is at the end.
        self._waiting: dict[int, deque[_Call]] = {}
        self._asked: dict[Future[Any], _Call] = {}

    def add(self, group: int, act: Callable[[], T], *, then: Callable[[T], object], late: T) -> None:
        """Call ``act``, which must not raise, in a thread. Then call ``then`` with its result, or with ``late`` if it took
        too long; it may add more.
        """
        self._waiting.setdefault(group, deque()).append(_Call(group, act, then, late))

    def run(self, *, meanwhile: Callable[[bool], object]) -> None:
        """Return when everything was called. ``meanwhile`` is called every half second or more often: with True if nothing
        is left. It may add more.
        """
        while self._waiting or self._asked:
            self._begin()
            done, _ = wait(self._asked, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                self._asked.pop(future).then(future.result())
            self._give_up()
            meanwhile(not self._waiting and not self._asked)

    def _begin(self) -> None:
        """Begin calls, one of each group after the other, until all places are taken."""
        now = time.monotonic()
        silent = Counter(call.group for call in self._asked.values() if call.silent(now))
        speaking = Counter(call.group for call in self._asked.values() if not call.silent(now))
        # The fewer groups there are, the more of each.
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
