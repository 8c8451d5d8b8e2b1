"""How commands run as root on a target, and how they end there: by one shell script, ``target/as_root.sh``.

The setup installs the script for accounts that use sudo; an account that is root sends it with each command.
Under systemd, each command runs in a scope of its own, elsewhere in a PID namespace.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sessions_app.connectors.base import Json
from sessions_app.connectors.marks import GRANT_MARK, RUN_MARK, Mark
from sessions_app.connectors.ssh.wrapper import AS_ROOT, AS_ROOT_INLINE, SECONDS, SUDO
from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.ssh.as_root import RootLine, SudoCannotSay, root_lines
from sessions_app.policy.commands.ssh.decide import CompiledSSHCommand

# The variable in which `--end` gets the mark to look for. Under the mark's own name, the script would find
# itself.
_END, _END_WORD = "STINT_END", "--end"
# The word that runs a harmless command, which prints `running`, or another state of systemd.
TRY = "--try"
_KEPT = f"{GRANT_MARK} {RUN_MARK} {SECONDS} {_END}"


def sudoers(accounts: Sequence[str], lines: Sequence[RootLine]) -> str:
    """Return the sudoers file that lets these accounts run exactly these lines as root."""
    allowed = [_END_WORD, TRY, *(line.arguments for line in lines)]
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
    """Return the command line that kills and counts every root process of a grant, through sudo."""
    return "exec " + quote_argv(["env", f"{_END}={mark.value}", *SUDO, _END_WORD])


def end_scopes_command(mark: Mark) -> str:
    """Return the command line that kills and counts the processes in the scopes of a grant, for a login as
    root. Another command can follow.
    """
    return f"env {_END}={mark.value} {AS_ROOT_INLINE} --end-scopes"


@dataclass(frozen=True, slots=True)
class RootEnded:
    """How many root processes were found and are left, and ``by`` what that is known: `kernel` if the cgroups
    of the grant's commands are empty, `scan` if only their marks were searched for.
    """

    found: int
    left: int
    by: str

    @property
    def detail(self) -> dict[str, Json]:
        """The part of the evidence."""
        return {
            "processes_of_root_found": self.found,
            "processes_of_root_left": self.left,
            "root_proven_by": self.by,
        }


def parse_root_ended(line: str) -> RootEnded | None:
    """Parse the output of the commands above; None for anything else."""
    match = re.fullmatch(r"found=(\d+) left=(\d+) by=(kernel|scan)\n", line, re.ASCII)
    return RootEnded(int(match[1]), int(match[2]), match[3]) if match else None
