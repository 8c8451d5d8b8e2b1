"""Until when what people started was there: processes by their tags, as `looking` sees them, and the rest as clients say."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from tests.environment import ROOT
from tests.faults.looking import EVERY_S


@dataclass
class Seen:
    """When what has a tag was first and last seen, by the wall clock, and whether it is there now."""

    first: float = 0.0
    last: float = 0.0
    there: bool = False


class Watch:
    """Has a process of its own look, so that what this one is busy with delays nothing. Tags are added before they are used."""

    def __init__(self) -> None:
        self._tags: dict[int, Seen] = {}
        # When the machine let nothing run, and for how many seconds.
        self.stalls: list[tuple[float, float]] = []
        self._looking = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.looking"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )  # fmt: skip
        self._thread = threading.Thread(target=self._hear, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        assert self._looking.stdin
        self._looking.stdin.close()
        self._thread.join()
        self._looking.wait()

    def add(self, tag: int) -> None:
        """Look for a tag from now on."""
        assert self._looking.stdin
        self._tags[tag] = Seen()
        print(tag, file=self._looking.stdin, flush=True)

    def touch(self, tag: int) -> None:
        """Note that what a tag names was there at this moment, as its client saw."""
        seen, now = self.of(tag), time.time()
        seen.first, seen.last, seen.there = seen.first or now, now, True

    def leave(self, tag: int) -> None:
        """Note that it is gone."""
        self.of(tag).there = False

    def seen(self, tag: int) -> bool:
        """Whether it was ever there."""
        return self.of(tag).first > 0

    def of(self, tag: int) -> Seen:
        """What was seen of a tag."""
        return self._tags[tag]

    def stalled(self, began: float, ended: float) -> float:
        """For how many seconds the machine stalled between two moments, at most."""
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
