"""The scripts that find and kill what a grant left on a target, and their output.

They need POSIX sh, grep, coreutils, sed and /proc. A process is found by the mark in its environment, which
is read as it was when its program started. So a command can't drop its mark by changing its own environment.
A process has no mark if it is started without it, overwrites it in memory, or becomes unreadable. Such a
process is not considered gone: if it may belong to the grant, it counts as unknown.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sessions_app.connectors.marks import GRANT_MARK, RUN_MARK, Mark
from sessions_app.connectors.ssh.wrapper import FIND_MARKED
from sessions_app.policy.commands.argv.quoting import quote_argv

# A variable of scripts that scan for marks, by which each script can find itself.
_SEEKER = "STINT_SEEKER"
# The maximum number of marks that a target is queried for, and that one sweep can have.
MOST_MARKS = 500
# The maximum number of processes that are listed by name because they may belong to the grant.
MOST_NAMED = 20

# An empty scan proves nothing if the script can't find itself, for example without grep on the PATH or
# without /proc.
_SEES = 'grep -qzxF -- "$2" "/proc/$$/environ" 2>/dev/null || exit 3; '
# Read the facts in /proc about process $1, whose name may contain anything, including line breaks and
# brackets.
_LOOK = (
    'look() { stat=; while IFS= read -r part; do stat=$stat$part\\ ; done 2>/dev/null <"/proc/$1/stat"; '
    "case $stat in *') '*) ;; *) return 1 ;; esac; name=${stat#*\\(}; name=${name%\\)*}; "
    "set -- ${stat##*\\) }; state=$1 up=$2 tty=$5 began=${20}; }; "
)
# Any process of the account can start others with the mark of any grant, faster than they are killed. If
# marked processes keep appearing, their parent is also killed, provided that it carries the mark of another
# grant.
_MARKED = f"^({GRANT_MARK}|{RUN_MARK})="
_KILL_FORGER = (
    'kill -STOP "$pid" 2>/dev/null; if look "$pid" && [ "$up" -gt 1 ] && '
    f'grep -qzE -- "{_MARKED}" "/proc/$up/environ" 2>/dev/null && ! grep -qzxE -- "$1" "/proc/$up/environ"'
    " 2>/dev/null; "
    # Until the parent is dead, several processes can have it as their parent.
    'then kill -KILL "$up" 2>/dev/null; case " $forgers " in *" $up "*) ;; *) forgers="$forgers$up " ;; esac;'
    " fi; "
)
# Finds this login's own processes, and their ancestors: usually only sshd below process 1, otherwise
# `others`.
_ABOVE = (
    'at=$$ above=; while look "$at"; do case $name in sshd*) above=${above:-sshd} ;; '
    '*) [ "$at" -le 1 ] || above=${above:+others} ;; esac; mine="$mine $at" at=$up; done; '
)
# Finds the process that adopts orphans: process 1, or a subreaper above this login
# (PR_SET_CHILD_SUBREAPER(2const)); sshd is none. Only an orphan can find its adopter, and it exits before
# other sweeps can read it.
_REAPERS = (
    'reapers=1; if [ "$above" != sshd ] || [ "$at" != 0 ]; then reaper=$(read -r own rest </proc/self/stat; {'
    ' while look self && [ "$up" = "$own" ]; do :; done; echo "$up"; } &); [ "${reaper:-0}" -le 1 ] ||'
    ' reapers="1 $reaper"; fi; '
)
# A process that forks and exits immediately is gone before its environment is read. Its oldest descendant is
# always a child of a reaper. Reapers have few, long-lived children, so a new child that can't be read counts,
# and the scan is incomplete.
_ORPHANS = (
    "orphans() { kids=; for at in $reapers; do for list in /proc/$at/task/*/children; do more=; "
    'read -r more 2>/dev/null <"$list"; kids="$kids $more"; done; done; }; '
)
# If such a process keeps the scans incomplete, it is stopped so that it can be read, and killed if it has the
# mark. Processes with a terminal are not stopped, because no command has one.
_HUNT = (
    "hunt() { for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do for at in $reapers; do kids=;"
    ' read -r kids 2>/dev/null <"/proc/$at/task/$at/children"; pid=${kids% }; pid=${pid##* }; case " $known "'
    ' in *" $pid "*) continue ;; esac; look "$pid" && [ "$tty" = 0 ] && kill -STOP "$pid" 2>/dev/null ||'
    ' continue; if grep -qzxE -- "$1" "/proc/$pid/environ" 2>/dev/null; then kill -KILL "$pid" 2>/dev/null;'
    ' found=$((found + 1)); else kill -CONT "$pid" 2>/dev/null; fi; done; done; }; '
)
# Reads the environments of new children of a reaper. A child is unread if it is gone, dead, or just starting.
# An unchanged list is not compared again: a process 1 that never reaps has thousands of dead children.
_STRAYS = (
    "strays() { fleeting=0 fresh= files=; for try in 1 2 3; do orphans; "
    '[ "$kids" != "$compared" ] || continue; compared=$kids; for pid in $kids; do '
    'case " $known $fresh " in *" $pid "*) ;; *) fresh="$fresh $pid" files="$files /proc/$pid/environ" ;;'
    " esac; "
    'done; done; [ -n "$fresh" ] || return 0; known="$known$fresh"; '
    'for file in $(grep -lzxE -- "$1" $files 2>/dev/null); do left=$((left + 1)); done; '
    'read=" $(grep -lzE -- . $files 2>/dev/null | tr "\\n" " ")"; '
    'for pid in $fresh; do case $read in *" /proc/$pid/environ "*) continue ;; esac; '
    # Processes of other accounts can't be read, and don't belong to the grant.
    'if [ "$me" = 0 ] || [ -O "/proc/$pid" ] || ! [ -e "/proc/$pid" ]; then fleeting=$((fleeting + 1)); fi;'
    " done; }; "
)
# One scan: kills processes with the mark, and counts those that could not be read.
_SCAN = (
    f"scan() {{ left=0; for file in $({FIND_MARKED}); do left=$((left + 1)) pid=${{file#/proc/}};"
    " pid=${pid%/environ}; "
    f'if [ "$round" -gt 2 ]; then {_KILL_FORGER}fi; kill -KILL "$pid" 2>/dev/null; '
    # A process that is exiting may be seen twice.
    'case " $seen " in *" $pid "*) ;; *) seen="$seen $pid" found=$((found + 1)) ;; esac; done; strays'
    ' "$1"; }; '
)
# A process started by a service manager is in another cgroup, which no process can enter on its own.
# Each login has its own cgroup.
_CGROUP = (
    "cgroup() { sed -nE 's,/session-[^/]*[.]scope,,; /^0:|:name=systemd:/p' \"/proc/$1/cgroup\""
    " 2>/dev/null; }; "
)
# Whether a process is below an open connection: sshd's root process is above it. Processes that a command
# left behind are not, because their parents are dead. A parent that remains but can't be read belongs
# to another account.
_HELD = (
    'held() { at=$1; while look "$at" && [ "$up" -gt 1 ]; do below=$at at=$up; look "$at" || { look "$below"'
    ' && [ "$up" = "$at" ]; return; }; case $name in sshd*) grep -qE \'^Uid:[[:space:]]+0[[:space:]]\''
    ' "/proc/$at/status" 2>/dev/null && return 0 ;; esac; done; return 1; }; '
)
# Lists untagged processes that may belong to the grant: processes of the account that began after the grant
# was first used on this target ($3 seconds ago), in the same cgroup, without an open connection above, and
# without the mark of another active grant ($4).
_JUDGE = (
    "judge() { unknown= many=0; for file in $("
    # The script lists itself first, because it also runs as the account.
    "sh -c 'echo $PPID $$; exec grep -lE \"$1\" /proc/[0-9]*/status 2>/dev/null' sh "
    '"^Uid:([[:space:]]+[0-9]+)*[[:space:]]+$me([[:space:]]|\\$)"); do '
    'case $file in /proc/*) ;; *) mine="$mine $file"; continue ;; esac; pid=${file#/proc/};'
    ' pid=${pid%/status}; case " $mine " in *" $pid "*) continue ;; esac; '
    'look "$pid" || continue; case $state in Z | X) continue ;; esac; '
    '[ "$began" -ge "$since" ] || continue; called=$name; '
    'grep -qzxE -- "$4" "/proc/$pid/environ" 2>/dev/null && continue; '
    '[ "$(cgroup "$pid")" = "$home" ] || continue; held "$pid" && continue; '
    f'many=$((many + 1)); [ "$many" -gt {MOST_NAMED} ] || '
    "unknown=$unknown$pid\\ $(printf %s \"$called\" | tr -c 'A-Za-z0-9_.:/ -' '?')$newline; done; }; "
)
_BEGIN = (
    f"{_SEES}{_LOOK}me=$(id -u) found=0 round=0 left=1 fleeting=0 none=0 forgers=' ' many=0 unknown= seen="
    " known= compared= mine=; "
    # A command substitution strips trailing line breaks.
    f"newline=$(printf '\\nx'); newline=${{newline%x}}; {_ABOVE}{_REAPERS}"
)
_SWEEP = (
    f"{_BEGIN}{_ORPHANS}{_HUNT}{_STRAYS}{_SCAN}{_CGROUP}{_HELD}{_JUDGE}"
    # A program that is just starting briefly has no visible environment, and processes that it starts in the
    # meantime carry its mark too. So only two consecutive complete scans that find nothing count.
    'while [ "$none" -lt 2 ] && [ "$round" -lt 60 ]; do round=$((round + 1)); scan "$1"; if [ "$left" -gt 0 ]'
    ' || [ "$fleeting" -gt 0 ]; then none=0; else none=$((none + 1)); fi; if [ "$fleeting" -gt 0 ] && ['
    ' "$round" -gt 3 ]; then hunt "$1"; fi; [ "$none" -gt 1 ] || sleep 0.02; done; '
    # For root, a process without the mark can't be distinguished from the system's own.
    'if [ "$me" != 0 ] && [ -n "$3" ]; then look $$; home=$(cgroup $$); '
    "since=$((began - $3 * $(getconf CLK_TCK 2>/dev/null || echo 100))); "
    # Differences between scans may come from other sweeps that begin or end, so the check is repeated.
    'before=; for again in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do judge "$@"; strays "$1"; ['
    ' "$((many + fleeting))" -gt 0 ] || break; [ "$again" -lt 6 ] || [ -z "$unknown" ] || [ "$unknown" !='
    ' "$before" ] || break; before=$unknown; sleep 0.1; done; many=$((many + fleeting)); fi; set -- $forgers;'
    ' forgers=$#; echo "found=$found left=$left rounds=$round forgers=$forgers fleeting=$fleeting'
    ' unknown=$many"; printf %s "$unknown"'
)
_COUNT = f'{_SEES}set -- $({FIND_MARKED}); echo "found=$# left=$# rounds=1 forgers=0 fleeting=0 unknown=0"'
# The first mark of each process. A process can carry any number of marks, and the later marks have no
# meaning.
_MARKS = (
    f'{_SEES}grep -azhxE -m 1 -- "$1[A-Za-z0-9_-]{{8,64}}" /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" '
    f"| sort | uniq -c | head -n {MOST_MARKS}; echo end"
)


def sweep_command(*marks: Mark, used_for: int | None = None, others: Sequence[Mark] = ()) -> str:
    """Return the command line that kills every process with one of the marks, in at most 60 scans.

    It stops when two complete scans find none.

    ``used_for`` is the number of seconds since the grant was first used on the target. If it is given, and
    the account is not root, the sweep reports untagged processes that may belong to the grant.
    Processes with marks in ``others`` are not reported.
    """
    # If there are no other marks, a pattern that matches nothing.
    known = "|".join(map(str, others)) or "STINT_NONE"
    return "exec " + _script(
        _SWEEP, "|".join(map(str, marks)), "" if used_for is None else str(used_for), known
    )


def count_command(mark: Mark) -> str:
    """Return the command line that counts the processes with the mark."""
    return "exec " + _script(_COUNT, str(mark))


def marks_command() -> str:
    """Return the command line that lists up to ``MOST_MARKS`` grant marks of processes.

    For each mark, it prints the number of processes whose first mark it is.
    """
    return "exec " + _script(_MARKS, f"{GRANT_MARK}=")


def _script(text: str, mark: str, *more: str) -> str:
    itself = f"{_SEEKER}={secrets.token_hex(8)}"
    words = ["env", itself, "timeout", "-s", "KILL", "20", "sh", "-c", text, "stint", mark, itself, *more]
    return quote_argv(words)


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
