"""A script and sudoers lines that let an account other than root run approved commands as root, and that end
these commands.

An account can't end root's processes, so the kernel does: as root, the script arms the parent death signal
and a PID namespace, below sshd's process for the connection. sudo must not stay in between. It execs the
script if it keeps no terminal, session or log of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from sessions_app.connectors.marks import GRANT_MARK, RUN_MARK, Mark
from sessions_app.connectors.ssh.wrapper import AS_ROOT, GUARDED, IN_NAMESPACE, SECONDS, SUDO
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.ssh.as_root import RootLine, SudoCannotSay, root_lines
from sessions_app.policy.commands.ssh.decide import CompiledSSHCommand

# The variable in which `--end` gets the mark to look for. Under the mark's own name, the script would find
# itself.
_END, _END_WORD = "STINT_END", "--end"
_KEPT = f"{GRANT_MARK} {RUN_MARK} {SECONDS} {_END}"

SCRIPT = f"""\
#!/bin/sh
# Runs one approved command as root, and ends it: with the connection, or when its time is over. sudo decides
# which commands. With {_END_WORD}, kills what still has the mark of a grant.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
no() {{ echo "stint: $1" >&2; exit 125; }}
if [ "$*" = {_END_WORD} ]; then
  grep -qzxF -- "{_END}=${_END}" /proc/$$/environ || no 'processes can not be seen'
  found=0 left=0 round=0 none=0
  while [ $none -lt 2 ] && [ $round -lt 60 ]; do
    round=$((round + 1)) left=0
    for file in $(grep -lzxF -- "{GRANT_MARK}=${_END}" /proc/[0-9]*/environ 2>/dev/null); do
      pid=${{file#/proc/}} left=$((left + 1))
      kill -KILL "${{pid%/environ}}" 2>/dev/null
    done
    [ $left -le $found ] || found=$left
    if [ $left = 0 ]; then none=$((none + 1)); else none=0; fi
    [ $none -gt 1 ] || sleep 0.05
  done
  echo "found=$found left=$left rounds=$round forgers=0 fleeting=0 unknown=0"
  exit 0
fi
case "${{{GRANT_MARK}-}}" in '' | *[!A-Za-z0-9_-]*) no 'the mark of the grant is missing' ;; esac
case "${{{SECONDS}-}}" in '' | *[!0-9.]*) no 'the time of the command is missing' ;; esac
# sudo compares words joined by spaces.
for word in "$@"; do case $word in '' | *[[:space:]]*) no 'a word contains a space' ;; esac; done
[ $# -gt 0 ] || no 'there is no command'
case $(cat "/proc/$PPID/comm") in
  sudo*) no 'sudo stays above the command, so that nothing could end it: run the setup again' ;;
esac
exec {quote_argv([*GUARDED, "unshare", *IN_NAMESPACE])} "${SECONDS}" "$@"
"""


def sudoers(accounts: Sequence[str], lines: Sequence[RootLine]) -> str:
    """Return the sudoers file that lets these accounts run exactly these lines as root."""
    allowed = [_END_WORD, *(line.arguments for line in lines)]
    return "".join(
        (
            (
                f"Defaults!{AS_ROOT} !use_pty, !pam_session, !pam_setcred, !log_input, !log_output,"
                " !requiretty\n"
            ),
            f'Defaults!{AS_ROOT} env_reset, env_keep += "{_KEPT}"\n',
            *(f"{line_of(account, arguments)}\n" for account in accounts for arguments in allowed),
        )
    )


def root_lines_of(commands: Iterable[CompiledSSHCommand]) -> list[RootLine]:
    """Return the sudoers lines for the commands that run as root, without duplicates.

    Commands that sudoers can't express are left out, because they are never published.
    """
    found: dict[str, RootLine] = {}
    for command in commands:
        if command.rule.as_root:
            with contextlib.suppress(SudoCannotSay):
                found |= {line.arguments: line for line in root_lines(command.words, command.types)}
    return list(found.values())


def line_of(account: str, arguments: str) -> str:
    """Return the sudoers line for one account and command."""
    return f"{account} ALL=(root) NOPASSWD: {AS_ROOT} {arguments}"


def end_command(mark: Mark) -> str:
    """Return the command line that kills every root process with the mark of a grant, and counts them like a
    sweep.
    """
    return "exec " + quote_argv(["env", f"{_END}={mark.value}", *SUDO, _END_WORD])
