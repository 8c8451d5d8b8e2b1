"""What every kind of command answers: allowed or refused, and how a command is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.document import CommandRule, Effect
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.policy.documents import Problem


class CompileError(ValueError):
    """Values or a choice of commands that do not fit the command set: `problems` names each, the text says all in sentences,
    and so does `fields`, by where it is.
    """

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(map(_sentence, self.problems)))

    @property
    def fields(self) -> dict[str, list[str]]:
        """What is wrong, by the path of the value."""
        return {problem.path: [_sentence(problem)] for problem in self.problems}


def _sentence(problem: Problem) -> str:
    """Return what is wrong as `unit is missing: it needs one of nginx, haproxy`, with its end."""
    name, says = problem.path.removeprefix("parameters."), problem.message
    joined = " " if says.startswith(("is ", "needs ", "has ", "holds ", "begins ", "must ")) else ": "
    return f"{name}{joined}{says}."


@dataclass(frozen=True, slots=True)
class Allowed:
    """A command that may run, as its words (`argv`; `GET` and the path over HTTP).

    `matched` holds the values of the free parameters; no finish_seconds means cut off.
    """

    index: int
    effect: Effect
    hold: bool
    finish_seconds: int | None
    matched: Mapping[str, str]
    argv: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command in the one spelling that is recorded; `decide` allows exactly it again."""
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that may not run: why, in a sentence, and the allowed command that comes nearest (None: none does).

    `code` groups refusals (`syntax`, `empty`, `left_out`, `value` and what a kind adds).
    """

    reason: str
    nearest: str | None
    code: str


@dataclass(frozen=True, slots=True)
class FreeParameter:
    """A value that is free at each run. `limits` says exactly what it may be, `wanted` so that whoever fills it in knows; `choices`,
    `low` and `high` are for a form's field.
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
    """One command of a grant as pages and `help` show it, with the bound values in place.

    `contain` is how its processes are held together, where there are any. `detail` says what else it comes to, a line
    each: the rules of a kubectl-like line, the limits of a body. `denies`: it takes away from the others.
    """

    index: int
    text: str
    free: tuple[FreeParameter, ...]
    effect: Effect
    hold: bool = False
    finish_seconds: int | None = None
    contain: str | None = None
    detail: tuple[str, ...] = ()
    denies: bool = False


@dataclass(frozen=True, slots=True)
class CompiledCommand:
    """One command of a compiled set; `index` is its place in the document."""

    index: int
    rule: CommandRule


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """The commands of one grant, ready for `decide`. `bindings` are the values as they are compared."""

    kind: str
    name: str
    bindings: Mapping[str, str]
    commands: Sequence[CompiledCommand]

    def off_limits(self, connection: Mapping[str, object]) -> str | None:
        """Why no grant may hold it on a cluster with this connection, in a clause; None where it may."""
        del connection
        return None


def free_parameter(name: str, type_: ParameterType) -> FreeParameter:
    """A parameter as a form shows it."""
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else (None, None)
    return FreeParameter(name, type_.kind, type_.limits, type_.wanted, choices, low, high)
