"""When things that people started were last seen: processes by their tags, as `looking` reports, and the rest
as clients report.
"""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from tests.environment import ROOT
from tests.faults.looking import EVERY_S


@dataclass
class Seen:
    """When a tag was first and last seen, in wall-clock time, and whether it is present now."""

    first: float = 0.0
    last: float = 0.0
    there: bool = False


class Watch:
    """Watches in a separate process, so that the load of this one delays nothing. Tags are added before they
    are used.
    """

    def __init__(self) -> None:
        self._tags: dict[int, Seen] = {}
        # When the machine stalled, and for how many seconds.
        self.stalls: list[tuple[float, float]] = []
        self._looking = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.looking"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._thread = threading.Thread(target=self._hear, name="watch", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        assert self._looking.stdin
        self._looking.stdin.close()
        self._thread.join()
        self._looking.wait()

    def add(self, tag: int) -> None:
        """Watch for a tag from now on."""
        assert self._looking.stdin
        self._tags[tag] = Seen()
        print(tag, file=self._looking.stdin, flush=True)

    def touch(self, tag: int) -> None:
        """Record that the client saw the tag now."""
        seen, now = self.of(tag), time.time()
        seen.first, seen.last, seen.there = seen.first or now, now, True

    def leave(self, tag: int) -> None:
        """Record that it is gone."""
        self.of(tag).there = False

    def seen(self, tag: int) -> bool:
        """Whether it was ever there."""
        return self.of(tag).first > 0

    def of(self, tag: int) -> Seen:
        """Return what was seen of a tag."""
        return self._tags[tag]

    def stalled(self, began: float, ended: float) -> float:
        """Return for how many seconds the machine stalled between two times, at most."""
        return sum(lost for at, lost in self.stalls if began <= at <= ended + EVERY_S)

    def _hear(self) -> None:
        assert self._looking.stdout
        for line in self._looking.stdout:
            what, *said = line.split()
            if what == "stall":
                self.stalls.append((float(said[0]), float(said[1])))
                continue
            seen, at = self.of(int(said[0])), float(said[1])
            seen.there, seen.first, seen.last = what == "there", seen.first or at, at
