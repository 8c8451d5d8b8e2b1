"""Limits on a whole argument value, in a subset of JSON Schema that can be described to an approver in
a sentence.

Unlike JSON Schema, shapes are closed: objects have only the listed properties, arrays have one type of item,
and text has a maximum length. Source: JSON Schema, draft 2020-12, "Validation".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from sessions_app.policy.commands.budgets import uncountable
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.json_values.bodies import Json
from sessions_app.policy.commands.json_values.checks import Check, by_value
from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.parameters import MAX_VALUE, Pattern
from sessions_app.policy.commands.patterns import compile_pattern, matches_broadly

MAX_ITEMS = 100
MAX_NESTED = 6
Scalar = StrictStr | StrictBool | StrictInt | StrictFloat | None
Resolve = Callable[[Json], Check]
_Count = Annotated[StrictInt, Field(ge=0, le=MAX_VALUE)]
_Key = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x1f\x7f.]{1,128}$")]

_STRING, _NUMBER = ("pattern", "minLength", "maxLength"), ("minimum", "maximum")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "string": _STRING,
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": (),
    "null": (),
    "array": ("items", "minItems", "maxItems"),
    "object": ("properties", "required"),
}


class Shape(BaseModel):
    """One value.

    ``const`` and ``enum`` can refer to a parameter as ``{name}``. Lengths are in characters or items.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    type: Literal["string", "integer", "number", "boolean", "null", "array", "object"] = Field(
        description="The JSON type"
    )
    const: Scalar = Field(default=None, description="The only value")
    enum: tuple[Scalar, ...] = Field(default=(), max_length=200, description="The possible values")
    pattern: StrictStr | None = Field(
        default=None, max_length=512, description="RE2 pattern that matches the whole text"
    )
    min_length: _Count | None = Field(default=None, alias="minLength", description="The fewest characters")
    max_length: _Count | None = Field(default=None, alias="maxLength", description="The most characters")
    minimum: StrictInt | StrictFloat | None = Field(default=None, description="The lowest number")
    maximum: StrictInt | StrictFloat | None = Field(default=None, description="The highest number")
    items: Shape | None = Field(default=None, description="The shape of each array item")
    min_items: _Count | None = Field(default=None, alias="minItems", description="The fewest items")
    max_items: Annotated[StrictInt, Field(ge=0, le=MAX_ITEMS)] | None = Field(
        default=None, alias="maxItems", description="The most items"
    )
    properties: Mapping[_Key, Shape] | None = Field(
        default=None, max_length=50, description="The shape of each key's value; other keys are refused"
    )
    required: tuple[StrictStr, ...] = Field(
        default=(), max_length=50, description="The keys that an object must have"
    )

    @model_validator(mode="after")
    def _fits(self) -> Shape:
        given = self.model_dump(by_alias=True, exclude_unset=True)
        odd = given.keys() - {"type", "const", "enum", *_KEYS[self.type]}
        if odd:
            raise ValueError(f"{', '.join(sorted(odd))} can't be used with {self.type}: remove it")
        if self.pattern is not None:
            compile_pattern(self.pattern)
        if self.type == "array" and self.items is None:
            raise ValueError("an array needs items, which describes each item")
        if self.type == "object" and self.properties is None:
            raise ValueError("an object needs properties, which lists its allowed keys")
        if not set(self.required) <= set(self.properties or {}):
            raise ValueError("required lists a name that is not a property: remove it")
        if depth_of(self) > MAX_NESTED:
            raise ValueError(f"is nested deeper than {MAX_NESTED} levels")
        return self

    @property
    def has_const(self) -> bool:
        """Whether the shape has a fixed value, which may be null."""
        return "const" in self.model_fields_set

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters to which the shape refers."""
        return tuple(dict.fromkeys(name for value in values_of(self) if (name := placeholder_in(value))))

    @property
    def limits(self) -> str:
        """A description of the shape: "a list of at most 3: one of a, b"."""
        if self.has_const or self.enum:
            return "one of " + ", ".join(map(str, self.enum)) if self.enum else str(self.const)
        if self.type == "string":
            like = f" that matches {self.pattern}" if self.pattern else ""
            return (
                f"text{like}, at most {MAX_VALUE if self.max_length is None else self.max_length} characters"
            )
        if self.type == "array" and self.items is not None:
            most = MAX_ITEMS if self.max_items is None else self.max_items
            return f"a list of at most {most}: {self.items.limits}"
        if self.type == "object":
            parts = (f"{name}: {shape.limits}" for name, shape in (self.properties or {}).items())
            return "{" + "; ".join(parts) + "}"
        low, high = self.minimum, self.maximum
        span = "".join((f" from {low}" if low is not None else "", f" to {high}" if high is not None else ""))
        return f"{_WORDS.get(self.type, self.type)}{span}"


_WORDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


def inside(shape: Shape) -> Iterator[Shape]:
    """Yield the shapes directly inside a shape."""
    if shape.items is not None:
        yield shape.items
    yield from (shape.properties or {}).values()


def values_of(shape: Shape) -> Iterator[Json]:
    """Yield every literal value in a shape."""
    yield from (shape.const, *shape.enum)
    for inner in inside(shape):
        yield from values_of(inner)


def depth_of(shape: Shape) -> int:
    """Return the number of levels in a shape."""
    return 1 + max((depth_of(inner) for inner in inside(shape)), default=0)


def uncountable_shape(shape: Shape) -> str:
    """Return, as a clause, why the values of a shape can't be added up; empty if they can."""
    if shape.has_const or shape.enum:
        fixed = [shape.const] if shape.has_const else list(shape.enum)
        return next((fault for one in fixed if (fault := uncountable(one))), "")
    if shape.type == "string" and shape.pattern is not None:
        return uncountable(Pattern(pattern=shape.pattern))
    if shape.type not in ("integer", "number"):
        return "is not a number: use integer or number, or a pattern of digits"
    low = shape.minimum
    return "" if low is not None and low >= 0 else "can be negative: set minimum: 0"


class Shaped(BaseModel):
    """A constraint written as ``{schema: …}``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    shape: Shape = Field(alias="schema")


@dataclass(frozen=True, slots=True)
class ShapeCheck:
    """A shape with the grant's values in place.

    ``resolve`` returns the check for a value written in the shape.

    With ``broad``, values match in any spelling, which is used for denied values.
    """

    shape: Shape
    resolve: Resolve = field(repr=False)
    broad: bool = False

    @property
    def limits(self) -> str:
        """A description of the shape, with values in place."""
        text = self.shape.limits
        for name in self.shape.names:
            text = text.replace(f"{{{name}}}", self.resolve(f"{{{name}}}").limits)
        return text

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Return why a value does not match; None if it does."""
        return self._fault(self.shape, value, matched)

    def _fault(self, shape: Shape, value: Json, matched: dict[str, str]) -> str | None:
        value = by_value(value) if self.broad else value
        if not _is(shape.type, value):
            return f"needs {shape.limits}"
        if shape.has_const or shape.enum:
            return self._listed(shape, value, matched)
        if isinstance(value, str):
            return _text_fault(shape, value, broad=self.broad)
        if isinstance(value, Mapping):
            return self._object_fault(shape, value, matched)
        if isinstance(value, int | float):
            low, high = shape.minimum, shape.maximum
            return (
                f"needs {shape.limits}"
                if (low is not None and value < low) or (high is not None and value > high)
                else None
            )
        return None if value is None else self._items_fault(shape, list(value), matched)

    def _listed(self, shape: Shape, value: Json, matched: dict[str, str]) -> str | None:
        allowed = ([shape.const] if shape.has_const else []) + list(shape.enum)
        for one in allowed:
            tried = dict(matched)
            if self.resolve(one).fault(value, tried) is None:
                matched.update(tried)
                return None
        return f"needs {' or '.join(self.resolve(one).limits for one in allowed)}"

    def _object_fault(self, shape: Shape, value: Mapping[str, Json], matched: dict[str, str]) -> str | None:
        known = shape.properties or {}
        for name, inner in value.items():
            if name not in known:
                return f"must not contain {clip(name)}"
            if fault := self._fault(known[name], inner, matched):
                return f"{clip(name)} {fault}"
        missing = next((name for name in shape.required if name not in value), None)
        return f"must contain {clip(missing)}" if missing is not None else None

    def _items_fault(self, shape: Shape, value: list[Json], matched: dict[str, str]) -> str | None:
        most = MAX_ITEMS if shape.max_items is None else shape.max_items
        if not (shape.min_items or 0) <= len(value) <= most:
            return f"needs {shape.min_items or 0} to {most} items"
        if shape.items is None:
            return "must not be a list"
        return next((fault for one in value if (fault := self._fault(shape.items, one, matched))), None)


def _is(kind: str, value: Json) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, int):
        return kind in ("integer", "number")
    if isinstance(value, float):
        return kind == "number"
    if isinstance(value, str):
        return kind == "string"
    return kind == ("object" if isinstance(value, Mapping) else "array")


def _text_fault(shape: Shape, value: str, *, broad: bool) -> str | None:
    most = MAX_VALUE if shape.max_length is None else shape.max_length
    if not (shape.min_length or 0) <= len(value) <= most:
        return f"needs {shape.min_length or 0} to {most} characters"
    at = hidden_at(value.replace("\n", " ").replace("\t", " "))
    if at is not None:
        return f"contains the unprintable character {show(value[at])}: remove it"
    if shape.pattern is None:
        return None
    matches = (
        matches_broadly(shape.pattern, value)
        if broad
        else compile_pattern(shape.pattern).fullmatch(value) is not None
    )
    return None if matches else f"{clip(value)} does not match {shape.pattern}"
