"""The connections between the parts of the stack, in a separate process, so that only faults delay their
traffic.

`python -m tests.faults.ways AT:BEHIND …` forwards the traffic of each port. It reads `freeze AT` and `thaw
AT` from its input.
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
    """One forwarded connection, by its listening port."""

    at: int
    _told: IO[str]

    def freeze(self) -> None:
        """Stop forwarding, without closing connections."""
        print("freeze", self.at, file=self._told, flush=True)

    def thaw(self) -> None:
        """Resume forwarding, including the data held back."""
        print("thaw", self.at, file=self._told, flush=True)


@contextlib.contextmanager
def ways(behind: Mapping[int, int]) -> Iterator[dict[int, Way]]:
    """Forward each port to another one, until the block ends."""
    pairs = [f"{at}:{to}" for at, to in behind.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.ways", *pairs],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        yield {at: Way(at, process.stdin) for at in behind}
        process.stdin.close()


def main(pairs: list[str]) -> None:
    """Forward until the input ends."""
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
