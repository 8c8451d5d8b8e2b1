"""The command that a certificate forces: the approved words inside a wrapper that the target itself ends.

The wrapper relies on two features. The parent death signal (prctl(2), PR_SET_PDEATHSIG) kills the command
when sshd's process for the connection exits. coreutils' ``timeout`` uses the target's own clock. Commands of
root run by ``target/as_root.sh`` instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sessions_app.connectors.marks import GRANT_MARK, CannotWrap, Mark, run_mark
from sessions_app.policy.commands.argv.quoting import quote_argv, quote_script

Contain = Literal["group", "pidns"]

# If sshd exits before the death signal is armed, the parent is process 1, and nothing may start.
_CHECK = '[ "$PPID" != 1 ] || exit 125; '
_GUARD = _CHECK + 'exec "$@"'
# `$1` is the mark, or several separated by bars. The characters of a mark have no special meaning in a
# pattern.
FIND_MARKED = 'grep -lzxE -- "$1" /proc/[0-9]*/environ 2>/dev/null'
_PID = "pid=${file#/proc/}; pid=${pid%/environ}; "
_KILL = _PID + 'kill -KILL "$pid" 2>/dev/null; '
# The parent of the command, which carries no mark itself. When sshd exits, or the command's time is over, it
# kills the command's process group and then everything else with the command's mark. So even processes that
# left the group end, without the gateway. `$!` is set before any trap can run. A program that is just
# starting briefly has no visible environment, so only two empty scans count. A scan reads all of /proc. When
# hundreds of commands end together, their scans would take CPU time from commands whose group is not killed
# yet, so they wait for each other: by a lock on the input, /dev/null, for at most a second.
_SUPERVISOR = (
    _CHECK + "mark=$1; shift; "
    "sweep() { flock -w 1 0; none=0; for round in 1 2 3 4 5 6; do "
    f'set -- "$mark"; set -- $({FIND_MARKED}); for file in "$@"; do {_KILL}done; '
    "if [ $# -gt 0 ]; then none=0; else none=$((none + 1)); [ $none -lt 2 ] || return 0; sleep 0.02; fi;"
    " done; }; "
    "end() { trap '' TERM HUP; kill -TERM $!; "
    "for round in 1 2 3 4 5 6; do sleep 0.05; kill -0 $! || break; done; "
    "kill -KILL -- -$! $!; sweep; exit 143; }; "
    "trap 'end 2>/dev/null' TERM HUP; "
    # A shell gives background processes an empty input, unless it uses another descriptor.
    'exec 3<&0; "$@" <&3 3<&- & exec 3<&- </dev/null >/dev/null 2>&1; '
    "wait $!; status=$?; [ $status != 137 ] || sweep; exit $status"
)
# The kernel's own ways to end a command: the death signal, and a PID namespace.
_GUARDED = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _GUARD, "stint")
_IN_NAMESPACE = ("--user", "--map-current-user", "--pid", "--fork", "--kill-child=KILL")
# The script that runs a command as root, its path on targets whose account uses sudo, the words that start it
# there, and the variable with the command's time limit.
AS_ROOT_SCRIPT = Path(__file__).with_name("target").joinpath("as_root.sh").read_text(encoding="ascii")
AS_ROOT = "/etc/ssh/stint_as_root"
SUDO, SECONDS = ("sudo", "-n", "--", AS_ROOT), "STINT_SECONDS"
# The same script for an account that is root, which needs nothing on the target.
AS_ROOT_INLINE = f"sh -c {quote_script(AS_ROOT_SCRIPT)} stint"
# sshd runs its built-in file server for a forced command that begins with this word.
_NEVER_FIRST = "internal-sftp"
LONGEST = 120_000


def force_command(
    argv: Sequence[str],
    *,
    contain: Contain,
    account: str,
    grant_mark: str,
    run_id: int,
    seconds: float,
    as_root: bool = False,
    cleans_up: bool = False,
) -> str:
    """Return the command line that a certificate forces, safe for sh, bash, dash, zsh and fish.

    ``seconds`` is how long the command may run. ``as_root`` means that the command runs through the target's
    sudo, unless the account is root. ``cleans_up`` means that the command is a script of Stint's own that
    gets a moment to remove unfinished files; it is contained in its process group. Raises CannotWrap if there
    are no words, no time is left, or the words can't be passed on.
    """
    if not argv or not argv[0] or argv[0].rpartition("/")[2] == _NEVER_FIRST:
        raise CannotWrap("There is no command to run.")
    mark = str(run_mark(grant_mark, run_id))
    marked = ["env", str(Mark(GRANT_MARK, grant_mark)), mark]
    limit = _limit(seconds)
    if as_root and account != "root":
        line = quote_argv([*marked, f"{SECONDS}={limit}", *SUDO, *argv])
    elif contain == "group" or cleans_up:
        signal = "TERM" if cleans_up else "KILL"
        line = quote_argv([*_SUPERVISED, mark, *marked, *_group(argv, limit, signal)])
    elif account == "root":
        armed = quote_argv([*marked, f"{SECONDS}={limit}", "setpriv", "--pdeathsig", "TERM", "--"])
        line = f"{armed} {AS_ROOT_INLINE} --run {quote_argv(argv)}"
    else:
        limited = ["timeout", "-s", "KILL", limit]
        line = quote_argv([*marked, *_GUARDED, "unshare", *_IN_NAMESPACE, "--", *limited, *argv])
    if len(line.encode()) > LONGEST:
        raise CannotWrap("The command is too long for an SSH certificate.")
    return f"exec {line}"


_SUPERVISED = ("setpriv", "--pdeathsig", "TERM", "--", "sh", "-c", _SUPERVISOR, "stint")


def _limit(seconds: float) -> str:
    # `timeout 0` would mean no limit at all.
    floored = math.floor(seconds * 1000) / 1000 if math.isfinite(seconds) else 0.0
    if floored <= 0:
        raise CannotWrap("No time is left for the command.")
    return f"{floored:.3f}"


def _group(argv: Sequence[str], limit: str, signal: str) -> list[str]:
    return ["timeout", "-k", "0.2", "-s", signal, limit, "setpriv", "--pdeathsig", "KILL", "--", *argv]
