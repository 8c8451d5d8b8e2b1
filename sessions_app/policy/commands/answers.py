"""Results shared by all kinds of command: whether a command is allowed, and how it is displayed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sessions_app.policy.commands.budgets import AmountRefused, Budget, amount_of
from sessions_app.policy.commands.document import BudgetedRule, CommandRule, Effect
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.policy.documents import Problem, about


class CompileError(ValueError):
    """Values or a selection of commands that don't match the command set.

    ``problems`` lists each problem. The exception's text joins the problems as sentences, and `fields` groups
    the sentences by path.
    """

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(map(_sentence, self.problems)))

    @property
    def fields(self) -> dict[str, list[str]]:
        """The problems as sentences, by the path of the value."""
        return {problem.path: [_sentence(problem)] for problem in self.problems}


def _sentence(problem: Problem) -> str:
    """Format a problem as a sentence, such as "unit is missing: it needs one of nginx, haproxy."."""
    return f"{about(problem.path.removeprefix('parameters.'), problem.message)}."


# Not frozen, because each statement and request makes one, and that would take four times as long.
@dataclass(slots=True)
class Allowed:
    """A command that may run.

    `argv` is its words; over HTTP, the method and the path. `matched` contains the values of the free
    parameters. Without finish_seconds, the command is cut off when the grant ends. `notes` are clauses for
    the record and the tester, such as where a value came from. `untrusted`: what it returns may contain
    instructions from outsiders. `at_commit`: it runs before it is held, and its COMMIT waits for approval.
    `amounts` are the values that budgets add up, by name. `exact` is the line with its secret values, if any
    are left out of `argv`: it decides under other grants, and is never stored or shown.
    """

    index: int
    effect: Effect
    hold: bool
    finish_seconds: int | None
    matched: Mapping[str, str]
    argv: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    untrusted: bool = field(default=False, kw_only=True)
    at_commit: bool = field(default=False, kw_only=True)
    amounts: Mapping[str, Decimal] = field(default_factory=dict, kw_only=True)
    exact: str = field(default="", kw_only=True, repr=False)

    @property
    def line(self) -> str:
        """The canonical spelling of the command, which is recorded. `decide` allows exactly this
        line again.
        """
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that may not run.

    `reason` is a sentence, and `nearest` the most similar allowed command (None if there is none). `code`
    groups refusals (`syntax`, `empty`, `left_out`, `value`, and codes of each kind). `value` names the form
    field with the refused value; empty if the refusal is not about a value.
    """

    reason: str
    nearest: str | None
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class FreeParameter:
    """A parameter whose value the holder chooses at each run.

    `limits` states exactly which values are accepted; `wanted` is the hint for the person who enters one.
    `choices`, `low` and `high` configure the form field. A `secret` value is never shown again.
    """

    name: str
    kind: str
    limits: str
    wanted: str
    choices: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Readable:
    """What a form can read: each table with its columns, in document order. `where_required`: there must be a
    condition. `limit` is the maximum number of rows (None: no limit).
    """

    tables: tuple[tuple[str, tuple[str, ...]], ...]
    where_required: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class CommandView:
    """One command of a grant with its bound values in place, as pages and `help` show it.

    `contain` is how its processes are contained, if it starts any. `detail` lists its consequences, one per
    line: the rules of a kubectl-like line, the limits of a body. `denies`: the command excludes uses that
    other commands allow. `as_root`: the command runs as root, even if Stint logs in as another account.
    `file` is the path that it transfers; empty for other commands. `readable`: instead of values, a form
    chooses columns and conditions.
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
    file: str = ""
    readable: Readable | None = None


@dataclass(frozen=True, slots=True)
class CompiledCommand:
    """One command of a compiled set. `index` is its position in the document."""

    index: int
    rule: CommandRule


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """The commands of one grant, compiled for `decide`. `bindings` are the values in canonical form.
    `budget` limits all commands together.
    """

    kind: str
    name: str
    bindings: Mapping[str, str]
    commands: Sequence[CompiledCommand]
    budget: tuple[Budget, ...] = field(default=(), kw_only=True)

    def budgets_of(self, index: int) -> list[tuple[str, Budget]]:
        """Return the budgets that a run of a command counts against, each with its key in this set."""
        own = (
            (f"{index}.{at}", one)
            for command in self.commands
            if command.index == index
            for at, one in enumerate(budget_of(command.rule))
        )
        return [*((f"set.{at}", one) for at, one in enumerate(self.budget)), *own]

    @property
    def counts(self) -> bool:
        """Whether some runs are counted."""
        return bool(self.budget) or any(budget_of(command.rule) for command in self.commands)

    def unenforced(self, connection: Mapping[str, object]) -> str | None:
        """Return, as a clause, what this connection can't enforce of the set; None if it can enforce
        everything.
        """
        del connection
        return None

    def off_limits(self, connection: Mapping[str, object]) -> str | None:
        """Return, as a clause, why no grant may include this set on a cluster with this connection; None if
        grants may.
        """
        return self.unenforced(connection)


def budget_of(rule: CommandRule) -> tuple[Budget, ...]:
    """Return the budgets of one command."""
    return rule.budget if isinstance(rule, BudgetedRule) else ()


def amounts_in(rule: CommandRule, values: Mapping[str, object]) -> dict[str, Decimal]:
    """Return the amounts that a run adds to its budgets, by name. Raises AmountRefused for a missing or
    unusable one.
    """
    found = {}
    for budget in budget_of(rule):
        if budget.sum is None:
            continue
        try:
            found[budget.sum] = amount_of(values.get(budget.sum))
        except AmountRefused as error:
            raise AmountRefused(f"{budget.sum} {error}") from None
    return found


def free_parameter(name: str, type_: ParameterType) -> FreeParameter:
    """Convert a parameter to the description that a form field needs."""
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else (None, None)
    return FreeParameter(name, type_.kind, type_.limits, type_.wanted, choices, low, high)
