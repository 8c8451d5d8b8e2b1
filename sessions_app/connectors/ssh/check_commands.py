"""Check whether the commands of command sets can run on a target: whether their programs exist, and whether
sudo allows those that run as root.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessions_app.connectors.base import CheckStep
from sessions_app.connectors.ssh.as_root import line_of, root_lines_of
from sessions_app.connectors.ssh.files import HELPER_NEEDS
from sessions_app.connectors.ssh.wrapper import AS_ROOT
from sessions_app.policy.commands.argv.matching import text_of
from sessions_app.policy.commands.argv.quoting import quote_argv, readable
from sessions_app.policy.commands.ssh.decide import CompiledSet, CompiledSSHCommand
from sessions_app.policy.commands.ssh.file_rules import FileRule

# The maximum number of questions to one target, for all command sets together.
MOST = 300
_ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Prints the number of each question whose answer is no. Without the last line, `end`, the output is
# incomplete.
_SCRIPT = (
    "set -f; number=0; for one; do rest=${one#?}; case $one in "
    'p*) command -v -- "$rest" ;; '
    f'r*) (PATH={_ROOT_PATH}; command -v -- "$rest") ;; '
    f"s*) sudo -n -l {AS_ROOT} $rest ;; "
    'esac >/dev/null 2>&1 || echo "$number"; number=$((number + 1)); done; echo end'
)


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
    """Return the questions for one command set: about each program, and about each sudoers line."""
    found: dict[str, Question] = {}
    for command in compiled.commands:
        for question in _questions(command, account):
            found.setdefault(question.asks, question)
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


def questions_command(questions: Sequence[Question]) -> str:
    """Return the command line for at most ``MOST`` questions."""
    return "exec " + quote_argv(["sh", "-c", _SCRIPT, "stint", *(one.asks for one in questions[:MOST])])


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
            f"its programs and sudo permissions are present ({len(questions)} checked)",
        )
    says = "; ".join(dict.fromkeys(f"{one.about} {one.no}" for one in refused))
    fix = refused[0].fix
    return CheckStep(f"commands of {name}", False, says, f"{fix[0].upper()}{fix[1:]}.")
