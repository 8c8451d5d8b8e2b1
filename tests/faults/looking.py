"""Watches /proc for processes continuously, in a dedicated process.

`python -m tests.faults.looking` reads tags from its input, one a line. It writes `there TAG AT` and `gone TAG
AT` when that changes, where AT is when it was first or last seen, and `stall AT SECONDS` after the machine
did not schedule it.
"""

import os
import sys
import threading
import time

from tests.support.pace import allow

EVERY_S = 0.05


def main() -> None:
    """Watch until the input ends."""
    tags: dict[bytes, float] = {}
    reader = threading.Thread(target=_read, args=(tags,))
    reader.start()
    last = time.time()
    while reader.is_alive():
        now = time.time()
        there = _words()
        for tag, seen in list(tags.items()):
            if tag in there:
                tags[tag] = now
                if not seen:
                    _say("there", tag.decode(), now)
            elif seen:
                tags[tag] = 0.0
                _say("gone", tag.decode(), seen)
        passed = now - last
        if (lost := allow(passed) - passed) > 0:
            _say("stall", now, lost)
        last = now
        time.sleep(EVERY_S)


def _read(tags: dict[bytes, float]) -> None:
    for line in sys.stdin.buffer:
        tags[line.strip()] = 0.0


def _say(*words: object) -> None:
    print(*words, flush=True)


def _words() -> set[bytes]:
    """Return the arguments of all processes except clients."""
    found: set[bytes] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208  # twenty times a second
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb", buffering=0) as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0] not in (b"ssh", b"kubectl"):
                found.update(words)
    return found


if __name__ == "__main__":
    main()
