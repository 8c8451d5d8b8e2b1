"""The guard: a second program in a container that terminates the processes that a command left, and reports
the result.

Nothing in Kubernetes ends a process when its stream closes. So each command runs beside a guard, another exec
in the same container that starts first. The gateway sends the guard a line every few seconds. The guard
sweeps as soon as its input ends, a line requests a sweep, no line has arrived for ``SILENT_SECONDS``, or its
time is over. If the gateway is killed, the kubelet closes the guard's input immediately; if the network is
down, the lack of lines triggers the sweep. The command's own input can't be used for this, because it belongs
to the holder, who may close it or never read it.

The guard needs POSIX sh, sleep and /proc; it uses grep if that supports ``-z``. It finds processes by a mark
in their environment, like the sweep of SSH targets, and with the same limits: a command can't drop its mark
by changing its own environment, but a process that it starts without the mark is not found. Processes whose
environment can't be read, and that did not exist before, are counted. A container that has reached its
process limit can run neither guard nor sweep.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sessions_app.connectors.marks import Mark

SILENT_SECONDS = 15
# The interval of the gateway's lines, in seconds. Two lines may be lost.
HEARTBEAT_SECONDS = 4.0
HEARTBEAT, END = b"\n", b"end\n"

# Hundredths of a second of a monotonic clock, without starting a program: proc_uptime(5) has two decimals.
# With whole seconds, a deadline could be up to one second early.
CLOCK = "clock() { read -r now rest </proc/uptime || return 1; now=${now%.*}${now#*.}; }; "
# Read the facts in /proc about process $1, whose name may contain anything, including line breaks and
# brackets.
_LOOK = (
    'look() { stat=; while IFS= read -r part; do stat=$stat$part\\ ; done 2>/dev/null <"/proc/$1/stat"; '
    "case $stat in *') '*) ;; *) return 1 ;; esac; set -- ${stat##*\\) }; up=$2 tty=$5 memory=${21}; }; "
)
# Whether process $1 has the mark; 2 if its environment can't be read, or is empty, as for a program that is
# just starting. sh drops the NULs, so entries have no visible end: no mark is a prefix of another.
_HOLDS = (
    'holds() { text=; while IFS= read -r part || [ -n "$part" ]; do text=$text$part; done 2>/dev/null'
    ' <"/proc/$1/environ" || return 2; case $text in "") return 2 ;; *"$entry"*) return 0 ;; esac; return'
    " 1; }; "
)
# Lists the processes whose environment can't be read, except those that were unreadable when the
# guard started. A process without memory is dead, or a kernel thread.
_BLIND = (
    'blind() { unread=; for at in /proc/[0-9]*; do pid=${at#/proc/}; { true <"$at/environ"; } 2>/dev/null ||'
    ' ! look "$pid" || case "$memory $before " in 0\\ *|*" $pid "*) ;; *) unread="$unread $pid" ;; esac;'
    " done; }; "
)
# One scan. grep reads a thousand environments in the time in which sh reads ten, so sh reads each once per
# sweep.
_SCAN = (
    'scan() { marked=; if [ -n "$fast" ]; then for file in $(grep -lzxF -- "$entry" /proc/[0-9]*/environ'
    ' 2>/dev/null); do pid=${file#/proc/}; marked="$marked ${pid%/environ}"; done; else for at in'
    ' /proc/[0-9]*; do pid=${at#/proc/}; case " $clean " in *" $pid "*) continue ;; esac; holds "$pid"; case'
    ' $? in 0) marked="$marked $pid" ;; 1) clean="$clean $pid" ;; esac; done; fi; blind; }; '
)
# Finds the process that adopts orphans: process 1, or a subreaper above the guard
# (PR_SET_CHILD_SUBREAPER(2const)).
_REAPERS = (
    "reaper=$(read -r own rest </proc/self/stat; { "
    'while look self && [ "$up" = "$own" ]; do :; done; echo "$up"; } &); '
    'reapers=1; [ "${reaper:-0}" -le 1 ] || reapers="1 $reaper"; '
)
_ORPHANS = (
    "orphans() { kids=; for at in $reapers; do for list in /proc/$at/task/*/children; do more=; "
    'read -r more 2>/dev/null <"$list"; kids="$kids $more"; done; done; }; '
)
# A process that forks and exits immediately is gone before its environment is read. Its oldest descendant is
# always a child of a reaper, so a new child that can't be read counts, and the scan is incomplete.
_STRAYS = (
    'strays() { fleeting=0; orphans; for pid in $kids; do case " $known " in *" $pid "*) continue ;; esac; '
    'known="$known $pid"; holds "$pid"; case $? in 0) left=$((left + 1)) ;; '
    "2) fleeting=$((fleeting + 1)) ;; esac; done; }; "
)
# If such a process keeps the scans incomplete, it is stopped so that it can be read, and killed if it has the
# mark. Nothing on the terminal of the container's main process is stopped: an interactive shell there would
# notice.
_HUNT = (
    "hunt() { for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do for at in $reapers; do kids=;"
    ' read -r kids 2>/dev/null <"/proc/$at/task/$at/children"; look "$at"; own=$tty pid=${kids% };'
    ' pid=${pid##* }; case " $known " in *" $pid "*) continue ;; esac; look "$pid" && case $tty in 0) ;;'
    ' "$own") false ;; esac && kill -STOP "$pid" || continue; if holds "$pid"; then kill -KILL "$pid";'
    ' found=$((found + 1)); else kill -CONT "$pid"; fi; done; done 2>/dev/null; }; '
)
# TERM, a pause, then KILL until two complete scans find nothing: a program that is just starting has no
# visible environment. Not every sleep supports fractions.
_SWEEP = (
    'sweep() { found=0 rounds=0 none=0 seen= clean= signal=TERM; while [ "$none" -lt 2 ] && [ "$rounds" -lt'
    " 40 ]; do rounds=$((rounds + 1)) left=0; scan; for pid in $marked; do left=$((left + 1)); kill -$signal"
    ' "$pid" 2>/dev/null; case " $seen " in *" $pid "*) ;; *) seen="$seen $pid" found=$((found + 1)) ;; esac;'
    ' done; strays; if [ "$left" -gt 0 ] || [ "$fleeting" -gt 0 ]; then none=0; else none=$((none + 1)); fi;'
    ' [ "$fleeting" = 0 ] || [ "$rounds" -lt 4 ] || hunt; pause=0.02; [ "$signal" = KILL ] || [ "$left" = 0 ]'
    ' || pause=0.2; [ "$left" = 0 ] || signal=KILL; [ "$none" -gt 1 ] || sleep "$pause" 2>/dev/null || sleep'
    " 1; done; }; "
)
# Sets the variables that the functions need. An empty scan proves nothing if grep can't find itself.
_BEGIN = (
    'fast= before= known= unread=; STINT_SEEKER=$$ grep -qzxF -- "STINT_SEEKER=$$" /proc/self/environ'
    f" 2>/dev/null && fast=1; {_REAPERS}"
)
# The functions and variables of a sweep. The mark is in `entry`.
SWEEPER = f"{CLOCK}{_LOOK}{_HOLDS}{_BLIND}{_SCAN}{_ORPHANS}{_STRAYS}{_HUNT}{_SWEEP}{_BEGIN}"
# The input reader signals the guard, because a shell that reads can't wait for anything else.
_READ = (
    'main=$$; { while read -r beat; do case $beat in end) break ;; esac; kill -USR1 "$main"; done; '
    'look self && [ "$up" = "$main" ] && kill -TERM "$main"; } <&3 >/dev/null & reader=$!; exec 3<&-; '
)
_WAIT = (
    'while [ -z "$over" ] && clock && [ "$now" -lt "$ends" ] && [ $((now - heard)) -lt "$silent" ]; do '
    'kill -0 "$nap" || { sleep 1 & nap=$!; }; wait "$nap"; done; '
    'trap "" USR1 TERM; kill "$reader" "$nap"; wait "$reader"; wait "$nap"; '
)
_GUARD = (
    f"entry=$1 silent=$3; exec 3<&0 2>/dev/null </dev/null; {SWEEPER}clock || exit 125; "
    "ends=$((now + $2)) heard=$now over= nap=none; "
    'if [ "$2" -gt 0 ]; then blind; before=$unread; orphans; known=$kids; fi; '
    "trap 'clock; heard=$now' USR1; trap 'over=1' TERM; "
    f'echo "ready $$"; {_READ}{_WAIT}'
    "sweep; set -- $unread; "
    'echo "found=$found left=$left unread=$# fleeting=$fleeting rounds=$rounds"'
)


def hundredths(seconds: float) -> str:
    """Return a duration of at least ``seconds`` in hundredths, the unit of the scripts' clock."""
    return str(math.ceil(max(0.0, seconds) * 100))


def guard_argv(mark: Mark, *, seconds: float) -> list[str]:
    """Return the argv of a guard for everything that carries a mark.

    The guard sweeps after ``seconds`` at the latest, which can be 0.

    The guard prints ``ready PID`` as soon as it watches, and the result when it ends.
    """
    return ["sh", "-c", _GUARD, "stint", str(mark), hundredths(seconds), hundredths(SILENT_SECONDS)]


_READY = re.compile(r"ready (\d+)\n", re.ASCII)
_SUMMARY = re.compile(r"found=(\d+) left=(\d+) unread=(\d+) fleeting=(\d+) rounds=(\d+)\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class LeftInPod:
    """The result of a sweep.

    ``found`` counts all processes that were found, ``left`` those in the last scan, ``unread`` those whose
    environment could not be read, ``fleeting`` those that were gone before the last scan could read them, and
    ``rounds`` the scans.
    """

    found: int
    left: int
    unread: int
    fleeting: int
    rounds: int

    @property
    def gone(self) -> bool:
        """Whether nothing is left, as far as the container shows."""
        return not (self.left or self.unread or self.fleeting)


def parse_ready(output: str) -> int | None:
    """Return the process ID in the first line of a guard's output; None for anything else."""
    match = _READY.fullmatch(output)
    return int(match[1]) if match else None


def parse_left(output: str) -> LeftInPod | None:
    """Return the result in the last line of a guard's output; None for anything else."""
    match = _SUMMARY.fullmatch(output)
    return LeftInPod(*map(int, match.groups())) if match else None
