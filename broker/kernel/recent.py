"""What one process remembers for some seconds, in its own memory: counts of calls, and answers that may be a little old.

Each process has its own. So a limit on counts slows down mistakes and floods, and is no quota.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

# With fewer, a few hundred addresses could push out the counts of others.
_MOST = 20_000

_lock = threading.Lock()
# Each value with the monotonic time until which it is remembered, in the order in which they came.
_values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()


def count(key: Hashable, seconds: float) -> tuple[int, float]:
    """Count a call. Return how many there were since the first one, and in how many seconds they are forgotten, which is
    ``seconds`` after the first.
    """
    with _lock:
        now = time.monotonic()
        until, calls = _current(key, now) or (now + seconds, 0)
        _put(key, until, calls + 1)
    return calls + 1, until - now


def keep(key: Hashable, value: Any, seconds: float) -> None:
    """Remember a value for some seconds."""
    with _lock:
        _values.pop(key, None)
        _put(key, time.monotonic() + seconds, value)


def kept(key: Hashable) -> Any:
    """Return the value that is remembered; None if there is none."""
    with _lock:
        found = _current(key, time.monotonic())
    return found[1] if found else None


def forget() -> None:
    """Forget everything."""
    with _lock:
        _values.clear()


def _current(key: Hashable, now: float) -> tuple[float, Any] | None:
    found = _values.get(key)
    if found is not None and found[0] <= now:
        del _values[key]
        return None
    return found


def _put(key: Hashable, until: float, value: Any) -> None:
    _values[key] = (until, value)
    if len(_values) > _MOST:
        _values.popitem(last=False)
