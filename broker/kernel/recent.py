"""A short-lived cache in the memory of one process, for counts of calls and for values that may be slightly
stale.

Each process has its own cache, so limits based on its counts slow down mistakes and floods, but are not exact
quotas.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

# With a smaller limit, a few hundred addresses could evict the counts of others.
_MOST = 20_000

_lock = threading.Lock()
# Each value with the monotonic time at which it expires, in the order of insertion.
_values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()


def count(key: Hashable, seconds: float) -> tuple[int, float]:
    """Count a call. Return the number of calls since the first one, and the seconds until the count expires,
    ``seconds`` after the first call.
    """
    with _lock:
        now = time.monotonic()
        until, calls = _current(key, now) or (now + seconds, 0)
        _put(key, until, calls + 1)
    return calls + 1, until - now


def keep(key: Hashable, value: Any, seconds: float) -> None:
    """Store a value for some seconds."""
    with _lock:
        _values.pop(key, None)
        _put(key, time.monotonic() + seconds, value)


def kept(key: Hashable) -> Any:
    """Return the stored value, or None if there is none."""
    with _lock:
        found = _current(key, time.monotonic())
    return found[1] if found else None


def forget() -> None:
    """Clear the cache."""
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
