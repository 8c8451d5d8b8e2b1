"""What one value of a query or a JSON body must be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.http.bodies import Json, canonical_body
from sessions_app.policy.commands.parameters import (
    MAX_VALUE,
    Int,
    ParameterType,
    Pattern,
    ValueRefused,
    compile_pattern,
)

_EXACT_FLOAT = 2**53


@dataclass(frozen=True, slots=True)
class Exact:
    """One value: text, a number, true, false or null."""

    value: Json

    def __eq__(self, other: object) -> bool:
        # To Python 1, 1.0 and true are equal; here they are three values.
        return isinstance(other, Exact) and self.fault(other.value, {}) is None

    def __hash__(self) -> int:
        return hash(self.value)

    @property
    def limits(self) -> str:
        """The value as it is written."""
        return self.value if isinstance(self.value, str) else canonical_body(self.value)

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Why the value does not do, or None. 1, 1.0 and true are three values."""
        del matched
        same = type(value) is type(self.value) and value == self.value
        return None if same else f"needs {clip(self.limits)}"


@dataclass(frozen=True, slots=True)
class Typed:
    """Any value of a type. `name` is the parameter that it is the value of: the same wherever it stands.

    `query`: values are always text there.
    """

    type: ParameterType
    name: str | None = None
    query: bool = False

    @property
    def limits(self) -> str:
        """The type in words."""
        return self.type.limits

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Why the value does not do, or None. Adds it to `matched` under its name."""
        try:
            text = self.type.accept(str(value)) if self.query else _text(self.type, value)
        except ValueRefused as error:
            return str(error)
        if self.name is not None and matched.setdefault(self.name, text) != text:
            return (
                f"{self.name} must be the same each time: {clip(matched[self.name])} and {clip(text)} differ"
            )
        return None


Check = Exact | Typed


class AnyCheck(Protocol):
    """Whatever says what a value must be."""

    def fault(self, value: Json, matched: dict[str, str]) -> str | None:
        """Why the value does not do, or None."""


def denies(check: AnyCheck, value: Json, matched: dict[str, str]) -> bool:
    """Whether what is denied fits a value, however its numbers are written: 1 and 1.0 are one number to most readers."""
    for spelled in (value, _spelled(value, _whole), _spelled(value, _broken)):
        tried = dict(matched)
        if check.fault(spelled, tried) is None:
            matched.update(tried)
            return True
    return False


def _spelled(value: Json, number: Callable[[float], float]) -> Json:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    if isinstance(value, Mapping):
        return {key: _spelled(one, number) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_spelled(one, number) for one in value]
    return value


def _whole(value: float) -> float:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _broken(value: float) -> float:
    # Greater ones are rounded, and so become others.
    return float(value) if abs(value) <= _EXACT_FLOAT else value


def _text(type_: ParameterType, value: Json) -> str:
    if isinstance(type_, Int) and type(value) is int:
        return type_.accept(str(value))
    if not isinstance(value, str) or isinstance(type_, Int):
        raise ValueRefused(f"needs {type_.wanted}")
    if isinstance(type_, Pattern):
        return _free_text(type_, value)
    return type_.accept(value)


def _free_text(type_: Pattern, value: str) -> str:
    """Text in a body is not a word of a command line: it may be empty, begin with `-` and have lines."""
    if len(value) > MAX_VALUE:
        raise ValueRefused(f"must have at most {MAX_VALUE} characters")
    at = hidden_at(value.replace("\n", " ").replace("\t", " "))
    if at is not None:
        raise ValueRefused(f"contains the unprintable character {show(value[at])}: remove it")
    if compile_pattern(type_.pattern).fullmatch(value) is None:
        raise ValueRefused(f"{clip(value)} is not {type_.wanted}")
    return value


def leaves(body: Json, limited: Mapping[str, Check], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """The keys of a body, `a.b` for one inside another, down to those that are limited or that nobody listed.

    Raises ValueRefused for a body that is no object, and for a key with a dot, which would look like one inside another.
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
