"""What a busy machine may take: deadlines in tests grow with how many processes share a core."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 8.0


def allow(seconds: float) -> float:
    """Return the seconds that something may take now which takes at most `seconds` on a machine of its own.

    The same on a quiet machine; on a busy one as many times longer as there are processes that want a core, eight at most.
    Read from /proc/loadavg (proc_loadavg(5)): the last minute's mean, or this moment where that is more.
    """
    mean, _, _, now, _ = Path("/proc/loadavg").read_text(encoding="ascii").split()
    wanting = max(float(mean), float(now.partition("/")[0]))
    return seconds * min(_MOST, max(1.0, wanting / (os.cpu_count() or 1)))
