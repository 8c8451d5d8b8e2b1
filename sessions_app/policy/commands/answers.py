"""Results shared by all kinds of command: allowed or refused, and how a command is displayed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.document import CommandRule, Effect
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.policy.documents import Problem


class CompileError(ValueError):
    """Values or a choice of commands that do not fit the command set.

    ``problems`` lists each problem. The text contains all of them as sentences, and `fields` groups the sentences by
    path.
    """

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(map(_sentence, self.problems)))

    @property
    def fields(self) -> dict[str, list[str]]:
        """The problems as sentences, by the path of the value."""
        return {problem.path: [_sentence(problem)] for problem in self.problems}


def _sentence(problem: Problem) -> str:
    """Format a problem as a sentence, such as `unit is missing: it needs one of nginx, haproxy`, with a period."""
    name, says = problem.path.removeprefix("parameters."), problem.message
    joined = " " if says.startswith(("is ", "needs ", "has ", "holds ", "begins ", "must ")) else ": "
    return f"{name}{joined}{says}."


@dataclass(frozen=True, slots=True)
class Allowed:
    """A command that may run, as its words (`argv`; over HTTP, the method and the path).

    `matched` contains the values of the free parameters. Without finish_seconds, the end of the grant cuts the command
    off.
    """

    index: int
    effect: Effect
    hold: bool
    finish_seconds: int | None
    matched: Mapping[str, str]
    argv: tuple[str, ...]

    @property
    def line(self) -> str:
        """The canonical spelling of the command, which is recorded. `decide` allows exactly this line again."""
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that may not run: the reason as a sentence, and the nearest allowed command (None: there is none).

    `code` groups refusals (`syntax`, `empty`, `left_out`, `value`, and codes of each kind). `value` is the name of the
    value that is refused; empty if it is not one of a form's.
    """

    reason: str
    nearest: str | None
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class FreeParameter:
    """A value that is chosen at each run.

    `limits` states exactly which values are accepted, and `wanted` states it for the person who fills it in. `choices`,
    `low` and `high` are for a form field.
    """

    name: str
    kind: str
    limits: str
    wanted: str
    choices: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True)
class CommandView:
    """One command of a grant with the bound values in place, as pages and `help` show it.

    `contain` is how its processes are contained, if it has any. `detail` lists its consequences, one per line: the
    rules of a kubectl-like line, the limits of a body. `denies`: it excludes uses that other commands allow.
    `as_root`: it runs as root, even where Stint logs in as another account.
    """

    index: int
    text: str
    free: tuple[FreeParameter, ...]
    effect: Effect
    hold: bool = False
    finish_seconds: int | None = None
    contain: str | None = None
    as_root: bool = False
    detail: tuple[str, ...] = ()
    denies: bool = False


@dataclass(frozen=True, slots=True)
class CompiledCommand:
    """One command of a compiled set. `index` is its position in the document."""

    index: int
    rule: CommandRule


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """The commands of one grant, ready for `decide`. `bindings` are the values in the form used for comparison."""

    kind: str
    name: str
    bindings: Mapping[str, str]
    commands: Sequence[CompiledCommand]

    def unenforced(self, connection: Mapping[str, object]) -> str | None:
        """Return what of the set can't be enforced on a cluster with this connection, as a clause; None if all can."""
        del connection
        return None

    def off_limits(self, connection: Mapping[str, object]) -> str | None:
        """Return why no grant may hold this set on a cluster with this connection, as a clause; None if grants may."""
        return self.unenforced(connection)


def free_parameter(name: str, type_: ParameterType) -> FreeParameter:
    """Return a parameter as a form field needs it."""
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else (None, None)
    return FreeParameter(name, type_.kind, type_.limits, type_.wanted, choices, low, high)
