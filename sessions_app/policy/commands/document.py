"""The command set document: the YAML that people write, review and publish."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, field_validator

from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.lines import LineRefused
from sessions_app.policy.commands.parameters import Parameter, ParameterType
from sessions_app.policy.commands.templates import Template, parse_template
from sessions_app.policy.documents import DocumentError, Lines, Problem, load_yaml_with_lines, validate
from sessions_app.policy.durations import Duration

Effect = Literal["read", "change", "destructive"]
Contain = Literal["group", "pidns"]
Risk = Literal["low", "medium", "high", "critical"]

MAX_COMMANDS = 500
MAX_PARAMETERS = 50
MAX_FINISH_SECONDS = 3600
SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"

_FROZEN = ConfigDict(frozen=True, extra="forbid")


def _visible(text: str) -> str:
    at = hidden_at(text)
    if at is not None:
        raise ValueError(f"holds {show(text[at])}: write one line of characters that can be seen")
    return text


ParameterName = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Visible = Annotated[StrictStr, AfterValidator(_visible)]


class Finish(BaseModel):
    """A running command may finish after the grant's end, for at most this long."""

    model_config = _FROZEN
    finish: Duration = Field(description="At most 1h, like 5m")

    @field_validator("finish")
    @classmethod
    def _limited(cls, seconds: int) -> int:
        if seconds > MAX_FINISH_SECONDS:
            raise ValueError("needs a duration of at most 1h, like 5m")
        return seconds


def _closed(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False


def _closed_without_from(schema: dict[str, Any]) -> None:
    _closed(schema)
    types = schema["patternProperties"]
    schema["patternProperties"] = {
        pattern: {"allOf": [type_], "not": {"required": ["from"]}} for pattern, type_ in types.items()
    }


class CommandRule(BaseModel):
    """One allowed command: words, with `{name}` where a parameter's value stands."""

    model_config = _FROZEN
    run: Visible = Field(
        min_length=1, max_length=4096, description="The command, with {name} for each parameter"
    )
    where: Mapping[ParameterName, Parameter] = Field(
        default={}, max_length=MAX_PARAMETERS, json_schema_extra=_closed_without_from,
        description="Parameters that are free at each run, inside their type",
    )  # fmt: skip
    effect: Effect = Field(description="What a run does to the target")
    hold: StrictBool = Field(default=False, description="Each run waits for a second person")
    end: Literal["cut"] | Finish = Field(
        default="cut", description="What happens to a running command at the end"
    )
    contain: Contain | None = Field(default=None, description="How its processes are held together")

    @property
    def finish_seconds(self) -> int | None:
        """How long a run may go on after the grant's end; None when it is cut off."""
        return self.end.finish if isinstance(self.end, Finish) else None

    def template(self) -> Template:
        """The command's words. Raises LineRefused for what the strict parser refuses."""
        return parse_template(self.run)


class Examples(BaseModel):
    """Lines that must be allowed, and lines that must be refused, before a version is published."""

    model_config = _FROZEN
    allow: tuple[StrictStr, ...] = Field(default=(), max_length=200)
    refuse: tuple[StrictStr, ...] = Field(default=(), max_length=200)


class CommandSetDocument(BaseModel):
    """A named list of allowed commands of one kind. A published version never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Command set")
    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    kind: Literal["ssh"]
    summary: Visible = Field(min_length=1, max_length=200, description="What it is for, in one line")
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
    contain: Contain = Field(default="group", description="For commands that do not say")
    examples: Examples = Examples()

    def contain_of(self, rule: CommandRule) -> Contain:
        """How this command's processes are held together."""
        return rule.contain or self.contain

    def type_of(self, rule: CommandRule, name: str) -> ParameterType:
        """The type of a parameter that `rule` uses."""
        return rule.where[name] if name in rule.where else self.parameters[name]


def parse_document(data: Any, *, lines: Lines | None = None) -> CommandSetDocument:
    """A command set from plain data (as `load_yaml` gives it). Raises DocumentError naming each fault."""
    document = validate(CommandSetDocument, data, lines=lines)
    problems = [
        problem
        for index, rule in enumerate(document.commands)
        for problem in _problems(document, index, rule)
    ]
    if problems:
        placed = [Problem(p.path, p.message, _line(lines or {}, p.path)) for p in problems]
        raise DocumentError(placed)
    return document


def parse_text(text: str) -> CommandSetDocument:
    """A command set from its YAML. Raises DocumentError with lines."""
    data, lines = load_yaml_with_lines(text)
    return parse_document(data, lines=lines)


def _line(lines: Lines, path: str) -> int | None:
    index, *rest = re.findall(r"[a-z_]+|[0-9]+", path.removeprefix("commands"))
    return lines.get(("commands", int(index), *rest)) or lines.get(("commands", int(index)))


def _problems(document: CommandSetDocument, index: int, rule: CommandRule) -> list[Problem]:
    """What the parts of one command say that does not fit together."""
    path = f"commands[{index}]"
    found = [
        Problem(
            f"{path}.where.{name}",
            "a value that is free at each run cannot have `from`: put it under parameters",
        )
        for name, type_ in rule.where.items()
        if type_.source is not None
    ]
    found += [
        Problem(f"{path}.where.{name}", "has the name of a parameter of the whole set: choose another name")
        for name in rule.where
        if name in document.parameters
    ]
    try:
        used = rule.template().names
    except LineRefused as error:
        return [*found, Problem(f"{path}.run", error.reason)]
    found += [
        Problem(f"{path}.run", f"uses {{{name}}}, which is not declared: add it under parameters or where")
        for name in used
        if name not in document.parameters and name not in rule.where
    ]
    unused = [
        Problem(f"{path}.where.{name}", "is not used in run: remove it")
        for name in rule.where
        if name not in used
    ]
    return found + unused


def command_set_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document, for editors. `run` and `from` are checked further by
    `parse_document`.
    """
    return {"$schema": SCHEMA_URL, **CommandSetDocument.model_json_schema(by_alias=True)}


def canonical_json(document: CommandSetDocument) -> str:
    """The one text of a document: keys sorted, no spaces, what equals its default left out."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: CommandSetDocument) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal: equal for documents that say the same."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
