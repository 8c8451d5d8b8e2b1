"""The command set document, in what all kinds have in common: the YAML that people write, review and publish."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.parameters import Parameter, ParameterType
from sessions_app.policy.documents import Problem

Effect = Literal["read", "change", "destructive"]
# The strictest first: where several commands fit one use, what it may do to the target is never told as less.
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
    """A command that can't be read as its kind needs it. `reason` is a sentence for its writer."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CommandRule(BaseModel):
    """One allowed command, in what all kinds have in common. `WRITTEN` is the field that holds the command."""

    model_config = FROZEN
    WRITTEN: ClassVar[str] = "run"
    where: Mapping[ParameterName, Parameter] = Field(
        default={}, max_length=MAX_PARAMETERS, json_schema_extra=_closed_without_from,
        description="Parameters that the holder chooses at each run",
    )  # fmt: skip
    effect: Effect = Field(description="Effect of a run on the target")

    @property
    def text(self) -> str:
        """The command as it is written, on one line: its name in differences and findings."""
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it uses, each once. Raises RuleRefused for a command that can't be read."""
        raise NotImplementedError

    @property
    def held(self) -> bool:
        """Whether each run needs approval."""
        return False

    @property
    def finish_seconds(self) -> int | None:
        """How long a run may go on after the grant's end; None when it is cut off."""
        return None


class Examples(BaseModel):
    """Lines that must be allowed, and lines that must be refused, before a version is published."""

    model_config = FROZEN
    allow: tuple[StrictStr, ...] = Field(default=(), max_length=200)
    refuse: tuple[StrictStr, ...] = Field(default=(), max_length=200)


class CommandSetDocument(BaseModel):
    """A named list of allowed commands of one kind. A published version never changes.

    A kind's document sets `kind` to its name and `commands` to its own rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="Command set")
    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    kind: str
    summary: Visible = Field(min_length=1, max_length=200, description="Summary in one line")
    risk: Risk
    parameters: Mapping[ParameterName, Parameter] = Field(
        default={},
        max_length=MAX_PARAMETERS,
        json_schema_extra=_closed,
        description="Bound when the grant is made",
    )
    commands: tuple[CommandRule, ...] = Field(
        max_length=MAX_COMMANDS, description="An empty list allows nothing"
    )
    examples: Examples = Examples()

    def type_of(self, rule: CommandRule, name: str) -> ParameterType:
        """The type of a parameter that `rule` uses."""
        return rule.where[name] if name in rule.where else self.parameters[name]

    def in_force(self, rule: CommandRule) -> Mapping[str, Any]:
        """What the whole set says for a command that does not say it itself, by field."""
        del rule
        return {}

    def problems(self) -> Iterator[Problem]:
        """What its parts say that does not fit together."""
        for index, rule in enumerate(self.commands):
            yield from _problems(self, f"commands[{index}]", rule)


def _problems(document: CommandSetDocument, path: str, rule: CommandRule) -> Iterator[Problem]:
    for name, type_ in rule.where.items():
        if type_.source is not None:
            yield Problem(
                f"{path}.where.{name}",
                "a value that is free at each run cannot have `from`: put it under parameters",
            )
        if name in document.parameters:
            yield Problem(
                f"{path}.where.{name}", "has the name of a parameter of the whole set: choose another name"
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
    """The one text of a document: keys sorted, no spaces, what equals its default left out."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: CommandSetDocument) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal: equal for documents that say the same."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
