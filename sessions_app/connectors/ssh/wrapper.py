"""The command that a certificate forces: the approved words inside a wrapper that the target itself ends.

The wrapper relies on two features. The parent death signal (prctl(2), PR_SET_PDEATHSIG) ends the command
when sshd's process for the connection exits. coreutils' ``timeout`` uses the target's own clock. Without a
PID namespace, ``target/supervise.sh`` runs the command. Commands of root run by ``target/as_root.sh``
instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from sessions_app.connectors.marks import GRANT_MARK, CannotWrap, Mark, run_mark
from sessions_app.connectors.ssh.target import command_of, read_script
from sessions_app.policy.commands.argv.quoting import quote_argv

Contain = Literal["group", "pidns"]

# If sshd exits before the death signal is armed, the parent is process 1, and nothing may start.
_GUARD = '[ "$PPID" != 1 ] || exit 125; exec "$@"'
# `$1` is the mark, or several separated by bars. The characters of a mark have no special meaning in a
# pattern.
FIND_MARKED = 'grep -lzxE -- "$1" /proc/[0-9]*/environ 2>/dev/null'
_SUPERVISE = f"setpriv --pdeathsig TERM -- {command_of(read_script('supervise.sh'))}"
# The kernel's own ways to end a command: the death signal, and a PID namespace.
_GUARDED = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _GUARD, "stint")
_IN_NAMESPACE = ("--user", "--map-current-user", "--pid", "--fork", "--kill-child=KILL")
# The script that runs a command as root, its path on targets whose account uses sudo, the words that start it
# there, and the variable with the command's time limit.
AS_ROOT_SCRIPT = read_script("as_root.sh")
AS_ROOT = "/etc/ssh/stint_as_root"
SUDO, SECONDS = ("sudo", "-n", "--", AS_ROOT), "STINT_SECONDS"
# The same script for an account that is root, which needs nothing on the target.
AS_ROOT_INLINE = command_of(AS_ROOT_SCRIPT)
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
    script: str = "",
) -> str:
    """Return the command line that a certificate forces, safe for sh, bash, dash, zsh and fish.

    ``seconds`` is how long the command may run. ``as_root`` means that the command runs through the target's
    sudo, unless the account is root. ``script`` is one of Stint's own, of which ``argv`` are the arguments;
    it is contained in its process group, and gets a moment to remove unfinished files. Raises CannotWrap if
    there are no words, no time is left, or the words can't be passed on.
    """
    if not argv or not argv[0] or argv[0].rpartition("/")[2] == _NEVER_FIRST:
        raise CannotWrap("There is no command to run.")
    mark = str(run_mark(grant_mark, run_id))
    marked = ["env", str(Mark(GRANT_MARK, grant_mark)), mark]
    limit = _limit(seconds)
    command = f"{command_of(script)} {quote_argv(argv)}" if script else quote_argv(argv)
    if as_root and account != "root":
        line = f"{quote_argv([*marked, f'{SECONDS}={limit}', *SUDO])} {command}"
    elif contain == "group" or script:
        group = _group(limit, "TERM" if script else "KILL")
        line = f"{_SUPERVISE} {quote_argv([mark, *marked, *group])} {command}"
    elif account == "root":
        armed = quote_argv([*marked, f"{SECONDS}={limit}", "setpriv", "--pdeathsig", "TERM", "--"])
        line = f"{armed} {AS_ROOT_INLINE} --run {command}"
    else:
        limited = ["timeout", "-s", "KILL", limit]
        line = f"{quote_argv([*marked, *_GUARDED, 'unshare', *_IN_NAMESPACE, '--', *limited])} {command}"
    if len(line.encode()) > LONGEST:
        raise CannotWrap("The command is too long for an SSH certificate.")
    return f"exec {line}"


def _limit(seconds: float) -> str:
    # `timeout 0` would mean no limit at all.
    floored = math.floor(seconds * 1000) / 1000 if math.isfinite(seconds) else 0.0
    if floored <= 0:
        raise CannotWrap("No time is left for the command.")
    return f"{floored:.3f}"


def _group(limit: str, signal: str) -> list[str]:
    return ["timeout", "-k", "0.2", "-s", signal, limit, "setpriv", "--pdeathsig", "KILL", "--"]
