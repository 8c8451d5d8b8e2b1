"""Arguments that can only be values from earlier results of the same grant.

A value counts as returned if it is one whole field of a result: text or a number, unchanged. Parts of a text,
and JSON inside a text field, never count. Source: Model Context Protocol 2026-07-28, "Tools", "Tool Result".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from sessions_app.policy.commands.characters import clip, hidden_at
from sessions_app.policy.commands.json_values.bodies import BodyRefused, Json, canonical_body, read_body
from sessions_app.policy.commands.json_values.checks import Typed, by_value
from sessions_app.policy.commands.parameters import MAX_VALUE, Parameter

MAX_FIELDS, MAX_LIST = 20, 100
# The limits for one result.
MAX_VALUES = 10_000
ITEMS = "[]"
_STEPS = re.compile(r"(?:\.[^.\[\]\x00-\x1f\x7f]{1,128}|\[\]){0,20}")
_STEP = re.compile(r"\.([^.\[\]]+)|\[\]")


class ResultField(NamedTuple):
    """A field of a tool's results. ``steps`` are keys, and ``[]`` for each item of a list; empty for
    the whole result.
    """

    tool: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        return "".join((self.tool, *(step if step == ITEMS else f".{step}" for step in self.steps)))


def field_of(text: str, tools: Collection[str]) -> ResultField | None:
    """Parse ``get_ticket.requester.email`` or ``list_users[].email``.

    The tool is the longest of ``tools`` that fits, because names of tools can have dots. Return None if
    no tool fits.
    """
    for tool in sorted(tools, key=len, reverse=True):
        rest = text.removeprefix(tool)
        if text.startswith(tool) and _STEPS.fullmatch(rest):
            return ResultField(tool, tuple(found[1] or ITEMS for found in _STEP.finditer(rest)))
    return None


class FromResult(BaseModel):
    """A constraint written as ``{from: result, fields: [get_ticket.requester.email]}``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    source: Literal["result"] = Field(
        alias="from", description="Only values that an earlier call of the same grant returned"
    )
    paths: tuple[StrictStr, ...] = Field(
        alias="fields",
        min_length=1,
        max_length=MAX_FIELDS,
        description="The fields from which a value can come: the tool, then keys, and [] for each item "
        "of a list",
        examples=[["get_ticket.requester.email"], ["list_users[].email"]],
    )
    most: Annotated[StrictInt, Field(ge=1, le=MAX_LIST)] | None = Field(
        default=None, alias="list", description="Accept a list with at most this many of the values"
    )
    others: Parameter | None = Field(
        default=None, alias="hold_others", description="Other values of this type are held, not refused"
    )


Value = tuple[ResultField, str]


@dataclass(frozen=True, slots=True)
class Untrusted:
    """The first call of an untrusted tool."""

    run: int
    tool: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The facts about a grant's earlier calls on which decisions depend.

    ``returned`` maps a field and a value's canonical JSON to the run that returned the value. ``untrusted``
    is the first call of an untrusted tool; None if there was none.
    """

    returned: Mapping[Value, int] = field(default_factory=dict)
    untrusted: Untrusted | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; ``run`` is None if it is not from a result, and the call must be held."""

    value: str
    source: ResultField | None
    run: int | None


class ValueSource(NamedTuple):
    """A held or allowed call's argument, with the field and the run that its value came from."""

    argument: str
    field: str
    run: int


_SOURCE = re.compile(r"(.+?) is (.+) of run ([0-9]{1,18})")


def say_source(source: ValueSource) -> str:
    """Return the note about a value's source, which `sources_in` reads."""
    return f"{source.argument} is {source.field} of run {source.run}"


def sources_in(notes: str) -> list[ValueSource]:
    """Return the sources of values that a run's notes state, one per line."""
    found = (_SOURCE.fullmatch(note) for note in notes.splitlines())
    return [ValueSource(one[1], one[2], int(one[3])) for one in found if one]


@dataclass(frozen=True, slots=True)
class ResultCheck:
    """Allows only values from results. ``most`` is set for lists. Values that match ``others`` are held."""

    fields: tuple[ResultField, ...]
    most: int | None
    others: Typed | None

    @property
    def _sources(self) -> str:
        return " or ".join(map(str, self.fields))

    @property
    def limits(self) -> str:
        """A description: "only a value of get_ticket.requester.email in an earlier result"."""
        what = "a value" if self.most is None else f"a list of at most {self.most} values"
        text = f"only {what} of {self._sources} in an earlier result"
        return text if self.others is None else f"{text}; any other {self.others.limits} is held"

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Return why a value can't match any result; None if it can."""
        del matched
        if self.most is None:
            return None if _is_value(value) else "needs text or a number"
        if not isinstance(value, Sequence) or isinstance(value, str) or not 1 <= len(value) <= self.most:
            return f"needs a list of 1 to {self.most} values"
        return None if all(map(_is_value, value)) else "needs a list of text or numbers"

    def values(self, value: Json) -> list[Json]:
        """Return the values that must come from results."""
        return [value] if self.most is None else list(value)  # type: ignore[arg-type]  # by `fault`

    def asked(self, value: Json) -> Iterator[Value]:
        """Yield the values of fields on which the decision depends."""
        if self.fault(value, {}) is None:
            for one in self.values(value):
                yield from ((source, _text(one)) for source in self.fields)

    def origins(self, value: Json, seen: Seen) -> Iterator[Origin | str]:
        """Yield the origin of each value, or why it is refused."""
        for one in self.values(value):
            text = _text(one)
            found = next((source for source in self.fields if (source, text) in seen.returned), None)
            if found is not None:
                yield Origin(text, found, seen.returned[found, text])
            elif self.others is not None and self.others.fault(one, {}) is None:
                yield Origin(text, None, None)
            else:
                yield f"{clip(text)} is not a value of {self._sources} in an earlier result"


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= MAX_VALUE and hidden_at(value) is None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Json) -> str:
    """Return the canonical JSON of a value. Clients may send 2.0 as 2."""
    return canonical_body(by_value(value))


def returned(result: Mapping[str, Any], fields: Collection[ResultField]) -> list[Value]:
    """Return the values that a tool's result has in these fields, without duplicates, at most MAX_VALUES.

    Reads the structured content or, if there is none, each text that is JSON. A result that is an error or
    that the client does not get counts as empty.
    """
    if result.get("isError") or result.get("resultType", "complete") != "complete":
        return []
    found: dict[Value, None] = {}
    for root in _roots(result):
        for source in fields:
            for value in _at(root, source.steps):
                if _is_value(value):
                    found[source, _text(value)] = None
                if len(found) >= MAX_VALUES:
                    return list(found)
    return list(found)


def _roots(result: Mapping[str, Any]) -> Iterator[Json]:
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        yield structured
        # Servers have to wrap a result that is not an object.
        if set(structured) == {"result"}:
            yield structured["result"]
        # Text next to structured content repeats it, or was written by outsiders, so it is not read.
        return
    # The contents of a resource have no type.
    content = result.get("content", result.get("contents"))
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, Mapping) or block.get("type", "text") != "text":
            continue
        if isinstance(block.get("text"), str):
            try:
                yield read_body(block["text"])
            except BodyRefused:
                continue


def _at(value: Json, steps: Sequence[str]) -> Iterator[Json]:
    if not steps:
        yield value
    elif steps[0] == ITEMS:
        for one in value if isinstance(value, list) else ():
            yield from _at(one, steps[1:])
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _at(value[steps[0]], steps[1:])
