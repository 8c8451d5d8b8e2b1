"""Deadlines in tests that exclude the time in which the machine stalled.

A thread sleeps repeatedly for a moment, and measures how late it wakes. A late wake is a stall, unless this
process used the processor meanwhile: then the code under test held the interpreter.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic, process_time, sleep
from typing import Any

_SLEEP = 0.01
# Threads take this much from each other: sys.getswitchinterval().
_LEAST = 0.005

# When each stall ended, and its length in seconds.
_stalls: deque[tuple[float, float]] = deque(maxlen=20_000)
_asleep_since: tuple[float, float]
_lock: threading.Lock


def allow(seconds: float) -> float:
    """Return how much wall time covers the last `seconds` in which this process could run: longer by any
    stalls.

    After a wait, this is exactly the time that it may have taken. Before a wait, it is an estimate; see
    `stalled`.
    """
    for ago, lost in _newest_first():
        if ago > seconds:
            break
        seconds += lost
    return seconds


def stalled(seconds: float) -> float:
    """Return the longest stall in the last `seconds`.

    After a long one, a failure in that time is inconclusive.
    """
    return max((lost for ago, lost in _newest_first() if ago <= seconds), default=0.0)


def assert_in_time(late: float, *, most: float) -> None:
    """Fail unless an event came within `most` seconds of its deadline, `late` seconds after it, and not
    before.

    A gateway's clock is ahead by the latency of the database's response, which it reads every five seconds.
    """
    early = allow(5) - 5 + 0.1
    assert -early < late < allow(most), f"it came {late:.2f} s after its deadline"


def unhurried(changes: dict[str, Any], *, most: float = 20) -> dict[str, Any]:
    """Lengthen a grant's `duration` of less than a minute by stalls, to `most` seconds.

    Idle connections and clients wait 30 s.
    """
    if changes.get("duration", 60) < 60:
        changes["duration"] = max(changes["duration"], math.ceil(min(allow(changes["duration"]), most)))
    return changes


def _newest_first() -> Iterator[tuple[float, float]]:
    """Yield how many seconds ago each stall ended, and its length."""
    now, stalls = _seen()
    return ((now - ended, lost) for ended, lost in reversed(stalls) if lost > _LEAST)


def _seen() -> tuple[float, list[tuple[float, float]]]:
    """Return the current time and the stalls; the last one may still be ongoing."""
    with _lock:
        now = monotonic()
        return now, [*_stalls, (now, _overdue())]


def _overdue() -> float:
    at, used = _asleep_since
    return monotonic() - at - _SLEEP - (process_time() - used)


def _watch() -> None:
    global _asleep_since
    while True:
        sleep(_SLEEP)
        with _lock:
            if (lost := _overdue()) > _LEAST:
                _stalls.append((monotonic(), lost))
            _asleep_since = monotonic(), process_time()


def _start() -> None:
    global _asleep_since, _lock
    _asleep_since, _lock = (monotonic(), process_time()), threading.Lock()
    threading.Thread(target=_watch, name="pace", daemon=True).start()


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_start)
_start()
