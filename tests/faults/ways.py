"""The ways between the parts of the stack, in a process of their own, so that nothing but a fault delays what they pass on.

`python -m tests.faults.ways AT:BEHIND …` passes on what comes to each port. It reads `freeze AT` and `thaw AT` from its input.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from tests.environment import ROOT
from tests.support.servers.proxy import BlackHole


@dataclass
class Way:
    """One way, by the port at which it begins."""

    at: int
    _told: IO[str]

    def freeze(self) -> None:
        """Pass nothing on any more, and close nothing."""
        print("freeze", self.at, file=self._told, flush=True)

    def thaw(self) -> None:
        """Pass everything on again, what was held back included."""
        print("thaw", self.at, file=self._told, flush=True)


@contextlib.contextmanager
def ways(behind: Mapping[int, int]) -> Iterator[dict[int, Way]]:
    """Pass on what comes to some ports, each to another, until the block ends."""
    pairs = [f"{at}:{to}" for at, to in behind.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.ways", *pairs], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        yield {at: Way(at, process.stdin) for at in behind}
        process.stdin.close()


def main(pairs: list[str]) -> None:
    """Pass on until the input ends."""
    with contextlib.ExitStack() as all_of:
        holes = {}
        for pair in pairs:
            at, behind = map(int, pair.split(":"))
            holes[at] = all_of.enter_context(BlackHole(at, behind))
        print("ready", flush=True)
        for line in sys.stdin:
            word, port = line.split()
            getattr(holes[int(port)], word)()


if __name__ == "__main__":
    main(sys.argv[1:])
