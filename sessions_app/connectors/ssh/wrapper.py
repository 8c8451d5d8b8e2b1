"""What a certificate forces a target to run: the approved words inside a wrapper that the target itself ends.

Two kernels' features carry it: the parent death signal (prctl(2), PR_SET_PDEATHSIG) kills the command when sshd's
process for the connection goes, and coreutils' ``timeout`` is the target's own clock.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.ssh.quoting import quote_argv

Contain = Literal["group", "pidns"]

GRANT_MARK, RUN_MARK = "STINT_GRANT", "STINT_RUN"
# Carried by a script that looks for marks, so that it can find itself.
_SEEKER = "STINT_SEEKER"
_VALUE = re.compile(r"[A-Za-z0-9_-]{8,64}")
# sshd gone before the death signal was armed: the parent is process 1 by now, and nothing may start any more.
_CHECK = '[ "$PPID" != 1 ] || exit 125; '
_GUARD = _CHECK + 'exec "$@"'
# The mark, or several with bars between: what a mark is made of means nothing else in a pattern.
_FIND = 'grep -lzxE -- "$1" /proc/[0-9]*/environ 2>/dev/null'
_PID = "pid=${file#/proc/}; pid=${pid%/environ}; "
_KILL = _PID + 'kill -KILL "$pid" 2>/dev/null; '
# Stays above the command and carries no mark itself. When sshd goes, or the command's time is over, it kills the group
# and then whatever else has the command's mark, so that what left the group dies although no gateway asks for it.
# `$!` is known before any trap can run. A program that is just being started has no environment to be seen for a moment,
# so only two looks that find nothing count.
_SUPERVISOR = (
    _CHECK + "mark=$1; shift; "
    "sweep() { none=0; for round in 1 2 3 4 5 6; do "
    f'set -- "$mark"; set -- $({_FIND}); for file in "$@"; do {_KILL}done; '
    "if [ $# -gt 0 ]; then none=0; else none=$((none + 1)); [ $none -lt 2 ] || return 0; sleep 0.02; fi; done; }; "
    "end() { trap '' TERM HUP; kill -TERM $!; "
    "for round in 1 2 3 4 5 6; do sleep 0.05; kill -0 $! || break; done; "
    "kill -KILL -- -$! $!; sweep; exit 143; }; "
    "trap 'end 2>/dev/null' TERM HUP; "
    # A shell gives what it puts into the background an empty input, unless it comes by another number.
    'exec 3<&0; "$@" <&3 3<&- & exec 3<&- </dev/null >/dev/null 2>&1; '
    "wait $!; status=$?; [ $status != 137 ] || sweep; exit $status"
)
# sshd takes a forced command that begins with this word for its built-in file server.
_NEVER_FIRST = "internal-sftp"
LONGEST = 120_000


class CannotWrap(ValueError):
    """The words can't be run on a target under Stint's control; the message says why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The environment entry that every process of a grant, or of one of its commands, carries on a target."""

    name: str
    value: str

    def __post_init__(self) -> None:
        if not _VALUE.fullmatch(self.value):
            raise CannotWrap("A mark must have 8 to 64 letters, digits, - and _.")

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def run_mark(grant_mark: str, run_id: int) -> Mark:
    """Return the mark of one command."""
    return Mark(RUN_MARK, f"{grant_mark[:40]}-{run_id}")


def force_command(
    argv: Sequence[str],
    *,
    contain: Contain,
    account: str,
    grant_mark: str,
    run_id: int,
    seconds: float,
) -> str:
    """Return the command line that a certificate forces, safe for sh, bash, dash, zsh and fish.

    ``seconds`` is how long the command may run. Raises CannotWrap for no words, no time left, or words that can't be
    handed over.
    """
    if not argv or not argv[0] or argv[0].rpartition("/")[2] == _NEVER_FIRST:
        raise CannotWrap("There is no command to run.")
    mark = str(run_mark(grant_mark, run_id))
    marked = ["env", str(Mark(GRANT_MARK, grant_mark)), mark]
    limit = _limit(seconds)
    if contain == "group":
        words = [*_SUPERVISED, mark, *marked, *_group(argv, limit)]
    else:
        words = [*marked, *_pidns(argv, limit, account)]
    line = "exec " + quote_argv(words)
    if len(line.encode()) > LONGEST:
        raise CannotWrap("The command is too long for an SSH certificate.")
    return line


_SUPERVISED = ("setpriv", "--pdeathsig", "TERM", "--", "sh", "-c", _SUPERVISOR, "stint")


def _limit(seconds: float) -> str:
    # `timeout 0` would mean no limit at all.
    floored = math.floor(seconds * 1000) / 1000 if math.isfinite(seconds) else 0.0
    if floored <= 0:
        raise CannotWrap("No time is left for the command.")
    return f"{floored:.3f}"


def _group(argv: Sequence[str], limit: str) -> list[str]:
    return ["timeout", "-k", "0.2", "-s", "KILL", limit, "setpriv", "--pdeathsig", "KILL", "--", *argv]


def _pidns(argv: Sequence[str], limit: str, account: str) -> list[str]:
    user = [] if account == "root" else ["--user", "--map-current-user"]
    return [
        *("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _GUARD, "stint"),
        *("unshare", *user, "--pid", "--fork", "--kill-child=KILL", "--", "timeout", "-s", "KILL", limit),
        *argv,
    ]


# A look that finds nothing proves nothing where it can't find itself: without grep on the PATH, or without /proc.
_SEES = 'grep -qzxF -- "$2" "/proc/$$/environ" 2>/dev/null || exit 3; '
# Any process of the account may start others with the mark of any grant, faster than they are killed. Where such go on coming, what
# starts them is killed as well, if it carries a mark of Stint's that is another grant's.
_MARKED = f"^({GRANT_MARK}|{RUN_MARK})="
_KILL_FORGER = (
    'kill -STOP "$pid" 2>/dev/null; up=0; while read -r key value; do [ "$key" != PPid: ] || up=$value; done '
    '2>/dev/null <"/proc/$pid/status"; if [ "$up" -gt 1 ] && '
    f'grep -qzE -- "{_MARKED}" "/proc/$up/environ" 2>/dev/null && ! grep -qzxE -- "$1" "/proc/$up/environ" 2>/dev/null; '
    'then kill -KILL "$up" 2>/dev/null && forgers=$((forgers + 1)); fi; '
)
# Environments are read as they were at the start of each program, so a command can't shed its mark by changing its own.
# Every process that a found one starts meanwhile carries the mark as well, and the next round finds it.
_SWEEP = (
    f"{_SEES}found=0 round=0 left=1 none=0 forgers=0 seen=; "
    'while [ "$none" -lt 2 ] && [ "$round" -lt 6 ]; do '
    "round=$((round + 1)) left=0; "
    f"for file in $({_FIND}); do left=$((left + 1)); "
    f'if [ "$round" -gt 2 ]; then {_PID}{_KILL_FORGER}fi; {_KILL}'
    # One that is on its way out may be seen twice.
    'case " $seen " in *" $pid "*) ;; *) seen="$seen $pid" found=$((found + 1)) ;; esac; done; '
    'if [ "$left" -gt 0 ]; then none=0; else none=$((none + 1)); fi; sleep 0.02; done; '
    'echo "found=$found left=$left rounds=$round forgers=$forgers"'
)
_COUNT = f'{_SEES}set -- $({_FIND}); echo "found=$# left=$# rounds=1 forgers=0"'

_MARKS = (
    f'{_SEES}grep -azhE -- "^$1" /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" | sort | uniq -c; echo end'
)


def sweep_command(*marks: Mark) -> str:
    """Return the command line that kills every process with one of the marks until two looks find none, six looks at most."""
    return "exec " + _script(_SWEEP, "|".join(map(str, marks)))


def count_command(mark: Mark) -> str:
    """Return the command line that counts the processes with the mark."""
    return "exec " + _script(_COUNT, str(mark))


def marks_command() -> str:
    """Return the command line that lists the marks of grants that processes carry, with how many carry each."""
    return "exec " + _script(_MARKS, f"{GRANT_MARK}=")


def _script(text: str, mark: str) -> str:
    itself = f"{_SEEKER}={secrets.token_hex(8)}"
    return quote_argv(["env", itself, "timeout", "-s", "KILL", "20", "sh", "-c", text, "stint", mark, itself])


_SUMMARY = re.compile(r"found=(\d+) left=(\d+) rounds=(\d+) forgers=(\d+)\n?")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw: how many processes it found in all, how many were there in its last look, how often it looked, and how many
    processes of other grants it killed because they went on starting some with this one's mark.
    """

    found: int
    left: int
    rounds: int
    forgers: int


def parse_sweep(output: str) -> Swept | None:
    """Return what a sweep printed; None for anything else."""
    match = _SUMMARY.fullmatch(output)
    return Swept(*map(int, match.groups())) if match else None


_COUNTED = re.compile(rf" *(\d+) {GRANT_MARK}=({_VALUE.pattern})")


def parse_marks(output: str) -> dict[str, int] | None:
    """Return how many processes carry each grant's mark, as ``marks_command`` printed it; None for anything else.

    A mark that Stint can't have made is passed over: any process may carry one.
    """
    *lines, last = output.splitlines() or [""]
    if last != "end":
        return None
    found = (_COUNTED.fullmatch(line) for line in lines)
    return {match[2]: int(match[1]) for match in found if match}
