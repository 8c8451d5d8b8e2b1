"""Checks for a single value of a query or a JSON body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip, folded, hidden_at, show
from sessions_app.policy.commands.json_values.bodies import Json, canonical_body
from sessions_app.policy.commands.parameters import (
    MAX_VALUE,
    Int,
    ParameterType,
    Pattern,
    ValueRefused,
)
from sessions_app.policy.commands.patterns import compile_pattern


@dataclass(frozen=True, slots=True)
class Exact:
    """One exact value: text, a number, true, false or null.

    `broad` is for denied values: the value then matches in any spelling.
    """

    value: Json
    broad: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.broad == other.broad and _identical(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    @property
    def limits(self) -> str:
        """The value as written."""
        return self.value if isinstance(self.value, str) else canonical_body(self.value)

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Return why a value does not match; None if it does."""
        del matched
        same = _identical(_plain(value), _plain(self.value)) if self.broad else _identical(value, self.value)
        return None if same else f"needs {clip(self.limits)}"


def _identical(one: Json, other: Json) -> bool:
    """Whether two values are equal in JSON. Python treats 1, 1.0 and true as equal, but JSON does not."""
    return type(one) is type(other) and one == other


def by_value(value: Json) -> Json:
    """Return a whole number as an integer, regardless of its notation.

    Most parsers treat 1 and 1.0 as the same.
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Json) -> Json:
    return folded(value) if isinstance(value, str) else by_value(value)


@dataclass(frozen=True, slots=True)
class Typed:
    """Any value of a type.

    `name` is the parameter that the value belongs to. All occurrences of a parameter must have the same
    value. `query`: the value comes from a query, where everything is text. `broad` is for denied values: the
    value then matches in any spelling.
    """

    type: ParameterType
    name: str | None = None
    query: bool = False
    broad: bool = False

    @property
    def limits(self) -> str:
        """The type as text."""
        return self.type.limits

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Return why a value does not match.

        If the value matches, return None and add the value to `matched` under its name.
        """
        try:
            text = self._text(value)
        except ValueRefused as error:
            return str(error)
        if self.name is not None and not self._same(matched.setdefault(self.name, text), text):
            return (
                f"{self.name} must be the same each time: {clip(matched[self.name])} and {clip(text)} differ"
            )
        return None

    def _text(self, value: Json) -> str:
        if self.broad:
            return _recognized(
                self.type, str(value) if self.query else _json_text(self.type, by_value(value))
            )
        return self.type.accept(str(value)) if self.query else _text(self.type, value)

    def _same(self, one: str, other: str) -> bool:
        return folded(one) == folded(other) if self.broad else one == other


Check = Exact | Typed


def _recognized(type_: ParameterType, text: str) -> str:
    if not type_.recognizes(text):
        raise ValueRefused(f"needs {type_.wanted}")
    return text


def _text(type_: ParameterType, value: Json) -> str:
    text = _json_text(type_, value)
    return _free_text(type_, text) if isinstance(type_, Pattern) else type_.accept(text)


def _json_text(type_: ParameterType, value: Json) -> str:
    """Return a JSON value as text: a whole number for a number type, text for any other type.

    Raises ValueRefused.
    """
    if isinstance(type_, Int) and type(value) is int:
        return str(value)
    if not isinstance(value, str) or isinstance(type_, Int):
        raise ValueRefused(f"needs {type_.wanted}")
    return value


def _free_text(type_: Pattern, value: str) -> str:
    """Check text in a body.

    Unlike a word of a command line, the text can be empty, begin with `-`, or have several lines.
    """
    if len(value) > MAX_VALUE:
        raise ValueRefused(f"must have at most {MAX_VALUE} characters")
    at = hidden_at(value.replace("\n", " ").replace("\t", " "))
    if at is not None:
        raise ValueRefused(f"contains the unprintable character {show(value[at])}: remove it")
    if compile_pattern(type_.pattern).fullmatch(value) is None:
        raise ValueRefused(f"needs {type_.wanted}")
    return value


def leaves(body: Json, limited: Mapping[str, Check], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the keys of a body with their values, `a.b` for nested keys.

    Descends until a key is limited or not listed.

    Raises ValueRefused for a body that is not an object, and for a key with a dot, which would look like a
    nested key.
    """
    if not isinstance(body, Mapping):
        raise ValueRefused("must be a JSON object")
    for key, value in body.items():
        if "." in key:
            raise ValueRefused(f"has the key {clip(key)}: keys with a dot are not supported")
        path = prefix + key
        if (
            path not in limited
            and isinstance(value, Mapping)
            and any(at.startswith(f"{path}.") for at in limited)
        ):
            yield from leaves(value, limited, f"{path}.")
        else:
            yield path, value
