"""Watches /proc for processes continuously, in a dedicated process.

`python -m tests.faults.looking` reads tags from its input, one a line. It writes `there TAG AT` and `gone TAG
AT` when that changes, where AT is when it was first or last seen, and `stall AT SECONDS` after the machine
did not schedule it.
"""

import os
import sys
import threading
import time
from collections.abc import Container

from tests.support.pace import allow

EVERY_S = 0.05
# For this long after its start, a process may still become what it is started for.
SETTLES_S = 10.0


def main() -> None:
    """Watch until the input ends."""
    tags: dict[bytes, float] = {}
    reader = threading.Thread(target=_read, args=(tags,))
    reader.start()
    last, processes = time.time(), _Processes()
    while reader.is_alive():
        now = time.time()
        there = processes.tagged(tags)
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


class _Processes:
    """All processes except clients. Arguments are read again only while they can change, or have a tag."""

    def __init__(self) -> None:
        # When each process was first seen, and its tags.
        self._known: dict[str, tuple[float, set[bytes]]] = {}

    def tagged(self, tags: Container[bytes]) -> set[bytes]:
        """Return the tags that processes have among their arguments."""
        now, before = time.monotonic(), self._known
        self._known = {}
        for name in os.listdir("/proc"):  # noqa: PTH208  # twenty times a second
            if name.isdigit():
                since, own = before.get(name, (now, set()))
                if own or now - since < SETTLES_S:
                    own = {word for word in _words(name) if word in tags}
                self._known[name] = since, own
        return set().union(*(own for _, own in self._known.values()))


def _words(name: str) -> list[bytes]:
    """Return the arguments of a process; none if it is gone or a client."""
    try:
        with open(f"/proc/{name}/cmdline", "rb", buffering=0) as file:
            words = file.read().split(b"\0")
    except OSError:
        return []
    return [] if words[0] in (b"ssh", b"kubectl") else words


if __name__ == "__main__":
    main()
