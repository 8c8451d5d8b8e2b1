"""How Stint finds and kills what a grant left on a target: by the shell script ``target/sweep.sh``, which is
sent with each call and runs as the account of the commands, and what it prints.

The script needs POSIX sh, grep, awk, coreutils, sed and /proc. It finds a process by the mark in its
environment. A process without the mark is not considered gone: if it may belong to the grant, it counts as
unknown.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sessions_app.connectors.marks import GRANT_MARK, Mark
from sessions_app.connectors.ssh.target import command_of, read_script
from sessions_app.policy.commands.argv.quoting import quote_argv

_SWEEP = command_of(read_script("sweep.sh"))
# The maximum number of marks that one sweep can have. A listing has at most as many.
MOST_MARKS = 500
# Seconds after which the target kills the script. It decides long before, unless the target is overloaded.
LONGEST = 20
# What the script prints if another sweep runs on the target.
BUSY = "busy\n"


def sweep_command(
    *marks: Mark, used_for: int | None = None, others: Sequence[Mark] = (), waits: bool = True
) -> str:
    """Return the command line that kills every process with one of the marks.

    It stops when two complete searches find none, or after about two seconds.

    ``used_for`` is the number of seconds since the grant was first used on the target. If it is given, and
    the account is not root, the sweep reports untagged processes that may belong to the grant.
    Processes with marks in ``others`` are not reported. With ``waits``, the sweep kills once and prints
    ``BUSY`` if another sweep does not end within three seconds.
    """
    seconds = "" if used_for is None else str(used_for)
    return _command("kill", " ".join(map(str, marks)), seconds, " ".join(map(str, others)), waits=waits)


def count_command(mark: Mark) -> str:
    """Return the command line that counts the processes with the mark."""
    return _command("count", str(mark))


def marks_command() -> str:
    """Return the command line that lists up to ``MOST_MARKS`` grant marks of processes.

    For each mark, it prints the number of processes whose first mark it is.
    """
    return _command("list", GRANT_MARK)


def _command(*words: str, waits: bool = True) -> str:
    settings = [f"STINT_SWEEP={secrets.token_hex(8)}", *([] if waits else ["STINT_LOCK=no"])]
    start = quote_argv(["env", *settings, "timeout", "-s", "KILL", str(LONGEST)])
    return f"exec {start} {_SWEEP} {quote_argv(words)}"


_SUMMARY = re.compile(
    r"found=(\d+) left=(\d+) rounds=(\d+) forgers=(\d+) fleeting=(\d+) unknown=(\d+)\n?((?:\d+ [\w.:/"
    r" ?-]{0,64}\n)*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a sweep.

    ``found`` counts all processes that the sweep found, ``left`` those in its last scan, and ``rounds`` its
    scans. ``forgers`` counts processes of other grants that it killed because they kept starting processes
    with this mark. ``fleeting`` counts those that were gone before the last scan could read them. ``unknown``
    counts untagged processes that may belong to the grant, and ``named`` names the first of them, as `1234
    perl`.
    """

    found: int
    left: int
    rounds: int
    forgers: int
    fleeting: int
    unknown: int
    named: tuple[str, ...] = ()

    @property
    def gone(self) -> bool:
        """Whether nothing is left, as far as the target shows."""
        return not (self.left or self.fleeting or self.unknown)


def parse_sweep(output: str) -> Swept | None:
    """Parse the output of a sweep; None for anything else."""
    match = _SUMMARY.fullmatch(output)
    if match is None:
        return None
    found, left, rounds, forgers, fleeting, unknown = map(int, match.groups()[:6])
    return Swept(found, left, rounds, forgers, fleeting, unknown, tuple(match[7].splitlines()))


_COUNTED = re.compile(rf" *(\d+) {GRANT_MARK}=([A-Za-z0-9_-]{{8,64}})")


def parse_marks(output: str) -> dict[str, int] | None:
    """Return how many processes carry each grant mark, from the output of ``marks_command``; None for any
    other text.

    Marks that Stint can't have created are skipped, because any process can carry an invented mark.
    """
    *lines, last = output.splitlines() or [""]
    if last != "end":
        return None
    found = (_COUNTED.fullmatch(line) for line in lines)
    return {match[2]: int(match[1]) for match in found if match}
