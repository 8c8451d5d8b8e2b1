"""End process groups after the process that started them has ended, regardless of how it ended.

Run by path in a bare interpreter (`python -I -S guard.py SECONDS`). Standard input is a pipe that only the
starter keeps open. A line `+123` or `-123` adds or removes the process group 123. At the end of the input,
when the starter has ended, each group gets SIGTERM and, after SECONDS, SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable


def signal_group(group: int, number: int) -> bool:
    """Send `number` (0: only check) to the process group. Return whether the group has any process."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_groups(groups: Iterable[int], *, grace: float) -> None:
    """Send SIGTERM to each group, and SIGKILL to those that still have processes after `grace` seconds."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    last = time.monotonic() + grace
    while left and time.monotonic() < last:
        time.sleep(0.05)
        left = [group for group in left if signal_group(group, 0)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change, group = line[0], int(line[1:])
        if change == "+":
            groups.add(group)
        else:
            groups.discard(group)
    end_groups(groups, grace=float(sys.argv[1]))


if __name__ == "__main__":
    main()
