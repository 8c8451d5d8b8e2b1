"""Check whether the commands of command sets can run on a target: whether their programs exist, whether sudo
allows those that run as root, and whether each way in which they run can reach systemd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessions_app.connectors.base import CheckStep
from sessions_app.connectors.marks import CHECK_MARK
from sessions_app.connectors.ssh.as_root import TRY, line_of, root_lines_of
from sessions_app.connectors.ssh.files import HELPER_NEEDS
from sessions_app.connectors.ssh.target import command_of, read_script
from sessions_app.connectors.ssh.wrapper import AS_ROOT, force_command
from sessions_app.policy.commands.argv.matching import text_of
from sessions_app.policy.commands.argv.quoting import quote_argv, quote_script, readable
from sessions_app.policy.commands.ssh.decide import CompiledSet, CompiledSSHCommand
from sessions_app.policy.commands.ssh.file_rules import FileRule

# The maximum number of questions to one target, for all command sets together.
MOST = 300
# How long a harmless command may take.
SECONDS_TO_TRY = 5
# Prints the state of the system if it reaches systemd.
_ASK_SYSTEMD = "if [ -d /run/systemd/system ]; then exec systemctl is-system-running; else echo running; fi"
_ANSWER = command_of(read_script("answer.sh"))


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a target: its wire form, and two clauses: the meaning of a negative answer,
    and the fix.
    """

    asks: str
    about: str
    no: str
    fix: str


def questions_of(compiled: CompiledSet, account: str) -> list[Question]:
    """Return the questions for one command set: about each program, about each sudoers line, and about each
    way in which its commands run.
    """
    found: dict[str, Question] = {}
    for command in compiled.commands:
        for question in _questions(command, account):
            found.setdefault(question.asks, question)
        # A transfer starts only Stint's own helper.
        if not isinstance(command.rule, FileRule):
            way = _way(command, account)
            found.setdefault(way.asks, way)
    return list(found.values())


def _questions(command: CompiledSSHCommand, account: str) -> Iterator[Question]:
    by_sudo = command.rule.as_root and account != "root"
    file = isinstance(command.rule, FileRule)
    program = HELPER_NEEDS if file else command.plain[0] or ""
    yield Question(
        f"{'r' if by_sudo else 'p'}{program}",
        f"`{readable([program])}`",
        "is not on the target's PATH",
        "install it, or write its full path in the command set",
    )
    for line in root_lines_of([command]) if by_sudo else ():
        yield Question(
            f"s{' '.join(line.sample)}",
            f"`{text_of(command.words)}`",
            "is not allowed as root by sudo",
            "run the setup again as root; this line is missing on the target: "
            f"`{line_of(account, line.arguments)}`",
        )


def _way(command: CompiledSSHCommand, account: str) -> Question:
    """Return the question whether a harmless command runs in the same way, and reaches systemd."""
    by_sudo = command.rule.as_root and account != "root"
    line = force_command(
        [TRY] if by_sudo else ["sh", "-c", _ASK_SYSTEMD],
        contain=command.contain,
        account=account,
        grant_mark=CHECK_MARK,
        run_id=0,
        seconds=SECONDS_TO_TRY,
        as_root=by_sudo,
    )
    if by_sudo:
        about, fix = "with `as: root`", "run the setup again as root, then see `journalctl -t sudo`"
    elif command.contain == "group":
        about, fix = "with `contain: group`", "install util-linux 2.33 or newer and systemd on the target"
    elif account == "root":
        about, fix = "of root", "install systemd 244 or newer, with cgroup v2, on the target"
    else:
        about = "in a PID namespace"
        fix = "allow user namespaces for the account, or write `as: root` for these commands"
    asks = f"{'W' if by_sudo else 'w'}{line}"
    return Question(asks, f"a command {about}", "can't run, or can't reach systemd", fix)


def questions_command(questions: Sequence[Question]) -> str:
    """Return the command line for at most ``MOST`` questions."""
    asks = " ".join(quote_script(one.asks) for one in questions[:MOST])
    return f"exec {_ANSWER} {quote_argv([_ASK_SYSTEMD, AS_ROOT])} {asks}"


def parse_answers(output: str) -> set[int] | None:
    """Return the numbers of the questions with a negative answer; None for invalid output."""
    *lines, last = output.splitlines() or [""]
    if last != "end" or not all(line.isdecimal() for line in lines):
        return None
    return set(map(int, lines))


def step_of(name: str, questions: Sequence[Question], refused: Sequence[Question]) -> CheckStep:
    """Return the check's result for one command set."""
    if not refused:
        return CheckStep(
            f"commands of {name}",
            True,
            f"its programs, sudo permissions and ways to run work ({len(questions)} checked)",
        )
    says = "; ".join(dict.fromkeys(f"{one.about} {one.no}" for one in refused))
    fix = refused[0].fix
    return CheckStep(f"commands of {name}", False, says, f"{fix[0].upper()}{fix[1:]}.")
