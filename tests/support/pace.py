"""What a busy machine may take: deadlines in tests grow with how many processes share a core."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

_MOST = 8.0


def allow(seconds: float) -> float:
    """Return the seconds that something may take now which takes at most `seconds` on a machine of its own.

    The same on a quiet machine; on a busy one as many times longer as there are processes that want a core, eight at most.
    Read from /proc/loadavg (proc_loadavg(5)): the last minute's mean, or this moment where that is more. Each process of a
    shared run wants one.
    """
    mean, _, _, now, _ = Path("/proc/loadavg").read_text(encoding="ascii").split()
    sharing = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    wanting = max(float(mean), float(now.partition("/")[0]), float(sharing))
    return seconds * min(_MOST, max(1.0, wanting / (os.cpu_count() or 1)))


def assert_in_time(late: float, *, most: float) -> None:
    """Fail unless something came within `most` seconds of its deadline, `late` seconds after it, and not before.

    A gateway knows the time by the database's answers, which say it as late as they come on a busy machine.
    """
    assert -allow(0.1) < late < allow(most), f"it came {late:.2f} s after its deadline"


def unhurried(changes: dict[str, Any], *, most: float = 20) -> dict[str, Any]:
    """Let a grant's `duration` of less than a minute grow with the load, to `most` seconds: idle connections and clients wait
    30 s.
    """
    if changes.get("duration", 60) < 60:
        changes["duration"] = max(changes["duration"], math.ceil(min(allow(changes["duration"]), most)))
    return changes
