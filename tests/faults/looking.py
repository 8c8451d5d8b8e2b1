"""Which processes are there, looked for in /proc all the time, by a process that has nothing else to do.

`python -m tests.faults.looking` reads tags from its input, one a line. It writes `there TAG AT` and `gone TAG AT` when that
changes, AT being when it was first and last seen, and `stall AT SECONDS` when the machine let nothing of it run.
"""

import os
import sys
import threading
import time

from tests.support.pace import allow

EVERY_S = 0.05


def main() -> None:
    """Look until the input ends."""
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
    """The words of all processes but those of clients."""
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
