"""The values that a line accepts at one position in a body or a query: text with placeholders, a listed
value, a number or a time.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.kubernetes.texts import Text, fill, literal, match, slots_of, written
from sessions_app.policy.commands.parameters import Int, ParameterType, ValueRefused

Types = Mapping[str, ParameterType]
Values = Mapping[str, str]
# RFC 3339, in Go's format.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})")


class Differs(ValueError):
    """A request that differs from what the line sends. The message is a clause that names the difference.

    `near` is how much of the request matches the line, as a share; it selects the nearest line. `code` groups
    refusals.
    """

    def __init__(self, message: str, near: int = 0, code: str = "value") -> None:
        self.near, self.code = near, code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Want:
    """The values that are accepted at one position."""

    def filled(self, values: Values) -> Want:
        """Return the accepted values with the known parameter values inserted."""
        del values
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the accepted values."""
        return ()

    @property
    def shown(self) -> str:
        """The accepted values as text."""
        raise NotImplementedError

    def take(self, value: Any, types: Types, known: Values) -> Values:
        """Return the values of the placeholders together with the known ones. Raises Differs."""
        raise NotImplementedError

    def sample(self) -> Any:
        """Return an accepted value, if all parameter values are known."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Said(Want):
    """Text with placeholders. `number`: the value is a whole number."""

    text: Text
    number: bool = False

    def filled(self, values: Values) -> Said:
        return replace(self, text=fill(self.text, values))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(slots_of(self.text))

    @property
    def shown(self) -> str:
        return clip(written(self.text))

    def take(self, value: Any, types: Types, known: Values) -> Values:
        if self.number is not (type(value) is int) or not isinstance(value, int | str):
            raise Differs(f"must be {'a whole number' if self.number else 'text'}")
        found = match(self.text, str(value), types, known)
        if found is None:
            raise Differs(self._fault(str(value), types))
        return found

    def _fault(self, value: str, types: Types) -> str:
        names = self.names
        if len(self.text) == 1 and names and names[0] in types:
            try:
                types[names[0]].accept(value)
            except ValueRefused as error:
                return (
                    f"{error}; {clip(value)} is not allowed" if clip(value) not in str(error) else str(error)
                )
            return f"must have the same {names[0]} everywhere"
        return f"must be {self.shown}, not {clip(value)}"

    def sample(self) -> Any:
        text = literal(self.text) or ""
        return int(text) if self.number and text.isdigit() else text


@dataclass(frozen=True, slots=True)
class Listed(Want):
    """One of these JSON values. The first value is the most common."""

    values: tuple[Any, ...]

    @property
    def shown(self) -> str:
        return " or ".join(clip(json.dumps(value)) for value in self.values)

    def take(self, value: Any, types: Types, known: Values) -> Values:
        if not any(same(value, one) for one in self.values):
            raise Differs(f"must be {self.shown}, not {clip(json.dumps(value))}")
        return known

    def sample(self) -> Any:
        return self.values[0]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same. True is not 1, and 1 is not 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Typed(Want):
    """A value of a type, without a parameter name."""

    type_: ParameterType

    @property
    def shown(self) -> str:
        return self.type_.limits

    def take(self, value: Any, types: Types, known: Values) -> Values:
        number = isinstance(self.type_, Int)
        if number is not (type(value) is int) or not isinstance(value, int | str):
            raise Differs(f"must be {self.type_.limits}")
        try:
            self.type_.accept(str(value))
        except ValueRefused as error:
            raise Differs(str(error)) from None
        return known

    def sample(self) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Count(Want):
    """Any whole number from 0 up."""

    @property
    def shown(self) -> str:
        return "a whole number"

    def take(self, value: Any, types: Types, known: Values) -> Values:
        if type(value) is not int or not 0 <= value < 2**31:
            raise Differs("must be a whole number, 0 or higher")
        return known

    def sample(self) -> Any:
        return 0


@dataclass(frozen=True, slots=True)
class Moment(Want):
    """A time in RFC 3339 format."""

    @property
    def shown(self) -> str:
        return "a time"

    def take(self, value: Any, types: Types, known: Values) -> Values:
        try:
            if isinstance(value, str) and _TIME.fullmatch(value):
                dt.datetime.fromisoformat(value)
                return known
        except ValueError:
            pass
        raise Differs("must be a time like 2026-01-31T12:00:00Z")

    def sample(self) -> Any:
        return "2000-01-01T00:00:00Z"
