"""Which processes are there, by their tags, looked for in /proc all the time: when each was last seen."""

import os
import threading
import time
from dataclasses import dataclass

from tests.support.pace import allow

EVERY_S = 0.05


@dataclass
class Seen:
    """When processes with a tag were first and last seen, by the wall clock, and whether they are there now."""

    first: float = 0.0
    last: float = 0.0
    there: bool = False
    # It is no process, and noted by who uses it.
    elsewhere: bool = False


class Watch:
    """Looks in a thread of its own. What is asked for is added before it is started."""

    def __init__(self) -> None:
        self._tags: dict[bytes, Seen] = {}
        # The moments of the last looks, with how long the machine stalled in the two seconds before each.
        self.stalls: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def add(self, tag: int) -> None:
        """Look for a tag from now on."""
        self._tags[str(tag).encode()] = Seen()

    def touch(self, tag: int) -> None:
        """Note that what a tag names was there at this moment, as somebody else saw."""
        seen, now = self.of(tag), time.time()
        seen.first, seen.last, seen.there, seen.elsewhere = seen.first or now, now, True, True

    def leave(self, tag: int) -> None:
        """Note that it is gone."""
        self.of(tag).there = False

    def seen(self, tag: int) -> bool:
        """Whether a process with the tag was ever there."""
        return self._tags[str(tag).encode()].first > 0

    def of(self, tag: int) -> Seen:
        """What was seen of a tag."""
        return self._tags[str(tag).encode()]

    def stalled(self, began: float, ended: float) -> float:
        """For how many seconds the machine stalled between two moments, at most."""
        return sum(lost for at, lost in self.stalls if began <= at <= ended + EVERY_S)

    def _look_on(self) -> None:
        last = time.time()
        while not self._over.is_set():
            now = time.time()
            there = _tags_there()
            for tag, seen in list(self._tags.items()):
                if seen.elsewhere:
                    continue
                seen.there = tag in there
                if seen.there:
                    seen.first, seen.last = seen.first or now, now
            passed = now - last
            if (lost := allow(passed) - passed) > 0:
                self.stalls.append((now, lost))
            last = now
            self._over.wait(EVERY_S)


def _tags_there() -> set[bytes]:
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
