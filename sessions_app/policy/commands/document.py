"""The parts of a command set document that all kinds share.

Command sets are written, reviewed and published as YAML.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from sessions_app.policy.commands.budgets import MAX_BUDGETS, Budget, Measure
from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.parameters import Parameter, ParameterType
from sessions_app.policy.documents import Problem

Effect = Literal["read", "change", "destructive"]
# Strictest first, so that the effect is not understated if several commands match.
EFFECT_RANK: Mapping[Effect, int] = {"destructive": 0, "change": 1, "read": 2}
Risk = Literal["low", "medium", "high", "critical"]

MAX_COMMANDS = 500
MAX_PARAMETERS = 50

FROZEN = ConfigDict(frozen=True, extra="forbid")


def _visible(text: str) -> str:
    at = hidden_at(text)
    if at is not None:
        raise ValueError(f"contains {show(text[at])}: use one line of printable characters")
    return text


ParameterName = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Visible = Annotated[StrictStr, AfterValidator(_visible)]


def _closed(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False


def _closed_without_from(schema: dict[str, Any]) -> None:
    _closed(schema)
    types = schema["patternProperties"]
    schema["patternProperties"] = {
        pattern: {"allOf": [type_], "not": {"required": ["from"]}} for pattern, type_ in types.items()
    }


class RuleRefused(ValueError):
    """A command that its kind can't parse. `reason` is a sentence for the author."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CommandRule(BaseModel):
    """The part of an allowed command that all kinds share. `WRITTEN` is the name of the field that contains
    the command.
    """

    model_config = FROZEN
    WRITTEN: ClassVar[str] = "run"
    where: Mapping[ParameterName, Parameter] = Field(
        default={},
        max_length=MAX_PARAMETERS,
        json_schema_extra=_closed_without_from,
        description="Parameters that the holder chooses at each run",
    )
    effect: Effect = Field(description="Effect of a run on the target")

    @property
    def text(self) -> str:
        """Return the command as written, on one line.

        Differences and findings use this text as the command's name.
        """
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """Return the command's parameters, without duplicates.

        Raises RuleRefused for a command that can't be parsed.
        """
        raise NotImplementedError

    @property
    def held(self) -> bool:
        """Whether each run needs approval."""
        return False

    @property
    def finish_seconds(self) -> int | None:
        """Return how many seconds a run may continue after the grant's end; None if it is cut off."""
        return None


class BudgetedRule(CommandRule):
    """A command whose runs can be counted."""

    budget: tuple[Budget, ...] = Field(
        default=(), max_length=MAX_BUDGETS, description="Limits on all runs of this command together"
    )


class Examples(BaseModel):
    """Lines that a version must allow and lines that it must refuse, as a condition for publishing."""

    model_config = FROZEN
    allow: tuple[StrictStr, ...] = Field(default=(), max_length=200, description="Lines that must be allowed")
    refuse: tuple[StrictStr, ...] = Field(
        default=(), max_length=200, description="Lines that must be refused"
    )


class CommandSetDocument(BaseModel):
    """A named list of allowed commands of one kind. A published version never changes.

    Each kind's document class sets `kind` to its name and `commands` to its own rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="Command set")
    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = Field(
        description="The name of the command set: lowercase letters, digits and `-`", examples=["restart-web"]
    )
    kind: str = Field(
        description="The kind of the commands: `ssh`, `postgres`, `mariadb`, `http`, `kubernetes` or `mcp`"
    )
    summary: Visible = Field(min_length=1, max_length=200, description="Summary in one line")
    risk: Risk = Field(description="How much harm the commands can do, as shown to approvers")
    parameters: Mapping[ParameterName, Parameter] = Field(
        default={},
        max_length=MAX_PARAMETERS,
        json_schema_extra=_closed,
        description="Parameters with one value for the whole grant",
    )
    commands: tuple[CommandRule, ...] = Field(
        max_length=MAX_COMMANDS, description="An empty list allows nothing"
    )
    examples: Examples = Examples()

    def type_of(self, rule: CommandRule, name: str) -> ParameterType:
        """Return the type of a parameter that `rule` uses."""
        return rule.where[name] if name in rule.where else self.parameters[name]

    @property
    def may_hold(self) -> bool:
        """Whether some runs need approval."""
        return any(rule.held for rule in self.commands) or any(
            one.then == "hold" for _, budget in self.budgets() for one in budget
        )

    def budgets(self) -> Iterator[tuple[str, tuple[Budget, ...]]]:
        """Yield the budgets of each command, with their path."""
        for index, rule in enumerate(self.commands):
            if isinstance(rule, BudgetedRule):
                yield f"commands[{index}].budget", rule.budget

    def in_force(self, rule: CommandRule) -> Mapping[str, Any]:
        """Return the set's defaults that apply to a command, by field."""
        del rule
        return {}

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        for index, rule in enumerate(self.commands):
            yield from _problems(self, f"commands[{index}]", rule)


class BudgetedSet(CommandSetDocument):
    """A command set whose runs can be counted."""

    MEASURES: ClassVar[tuple[Measure, ...]] = ("calls", "sum", "bytes")
    budget: tuple[Budget, ...] = Field(
        default=(), max_length=MAX_BUDGETS, description="Limits on all runs of all commands together"
    )

    def budgets(self) -> Iterator[tuple[str, tuple[Budget, ...]]]:
        yield "budget", self.budget
        yield from super().budgets()

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        for path, budget in self.budgets():
            for at, one in enumerate(budget):
                where = f"{path}[{at}]"
                if one.measure not in self.MEASURES:
                    yield Problem(
                        where, f"{one.measure} can't be counted for these commands: use calls, sum or bytes"
                    )
                if one.sum is not None and path == "budget":
                    yield Problem(where, "a sum belongs to one command: move it to the command's budget")
        for index, rule in enumerate(self.commands):
            sums = [one.sum for one in getattr(rule, "budget", ()) if one.sum is not None]
            for name in sums:
                if fault := self.sum_fault(rule, name):
                    yield Problem(f"commands[{index}].budget", f"{name} {fault}")

    def sum_fault(self, rule: CommandRule, name: str) -> str:
        """Return, as a clause, why the values with a name can't be added up; empty if they can."""
        raise NotImplementedError

    def free_names(self, rule: CommandRule) -> Iterator[str]:
        """Yield the names of the values that the holder chooses at each run."""
        yield from rule.where


def _problems(document: CommandSetDocument, path: str, rule: CommandRule) -> Iterator[Problem]:
    for name, type_ in rule.where.items():
        if type_.source is not None:
            yield Problem(
                f"{path}.where.{name}",
                "a value that is chosen at each run can't have `from`: move it to parameters",
            )
        if name in document.parameters:
            yield Problem(
                f"{path}.where.{name}",
                "has the same name as a parameter of the whole set: choose another name",
            )
    written = f"{path}.{rule.WRITTEN}"
    try:
        used = rule.names
    except RuleRefused as error:
        yield Problem(written, error.reason)
        return
    for name in used:
        if name not in document.parameters and name not in rule.where:
            yield Problem(
                written, f"uses {{{name}}}, which is not declared: add it under parameters or where"
            )
    for name in rule.where:
        if name not in used:
            yield Problem(f"{path}.where.{name}", f"is not used in {rule.WRITTEN}: remove it")


def canonical_json(document: CommandSetDocument) -> str:
    """Return the canonical JSON of a document: sorted keys, no spaces, default values omitted."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: CommandSetDocument) -> str:
    """Return the SHA-256 of the canonical JSON, in hex.

    Documents with the same meaning have the same digest.
    """
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
