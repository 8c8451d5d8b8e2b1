"""Typed parameters: the values that a command set accepts.

A parameter is defined by the key that names its type: `{choice: [nginx, haproxy]}`, `{int: [1, 1000]}`,
`{pattern: "v[0-9.]+"}` (RE2, the whole value), `{path: /var/log}` (below it), `{name: 64}` (maximum length),
`{cidr: [10.0.0.0/8]}` (inside one of them), `{duration: [1s, 5m]}`. With `from: workflow.id`, the value is
taken from the workflow; `{from: workflow.id}` alone is a name. A value can't be empty, begin with `-` (except
a negative number within its range), or contain an invisible character.
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
    field_validator,
)

from sessions_app.policy.commands.characters import clip, folded, hidden_at, show
from sessions_app.policy.commands.networks import is_inside, network_of
from sessions_app.policy.commands.patterns import compile_pattern, matches_broadly
from sessions_app.policy.documents import about
from sessions_app.policy.samples import sample_of

MAX_VALUE = 4096
MAX_PATTERN = 512
# A longer pattern is described to people by an example alone.
READABLE = 40
MAX_INT = 2**63 - 1

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ValueRefused(ValueError):
    """A value that its type refuses. The message is a clause without its subject, "needs a number from 1 to
    1000", unless the value is the subject: "`sshd` is not one of nginx". ``name`` is the parameter in the
    value.
    """

    def __init__(self, message: str, name: str = "") -> None:
        self.name = name
        super().__init__(message)

    def of(self, name: str) -> str:
        """Return the clause with the name of the value: "lines needs a number from 1 to 1000"."""
        return about(name, str(self))


def seconds_of(text: str) -> int:
    """Convert `90s`, `5m`, `2h` or `1d` to seconds. Raises ValueRefused."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueRefused("needs a number with a unit, like 30s, 5m, 2h or 1d")
    return int(found[1]) * _SECONDS[found[2]]


def check_text(value: str) -> None:
    """Check the limits of all types. Number types check their sign separately. Raises ValueRefused."""
    if not value:
        raise ValueRefused("needs a value: it is empty")
    if len(value) > MAX_VALUE:
        raise ValueRefused(f"must have at most {MAX_VALUE} characters")
    at = hidden_at(value)
    if at is not None:
        raise ValueRefused(f"contains the unprintable character {show(value[at])}: remove it")
    if value.startswith("-"):
        raise ValueRefused("begins with “-” and would be read as an option")


class ParameterType(BaseModel):
    """The base class of all types.

    `normalize` handles values that are given in advance, `accept` words of a line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)
    kind: ClassVar[str]
    source: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^workflow\.[a-z][a-z0-9_]{0,62}$",
        description="Take the value from the workflow, for example workflow.id",
    )

    @property
    def limits(self) -> str:
        """The type as text: "a number from 1 to 1000"."""
        raise NotImplementedError

    @property
    def wanted(self) -> str:
        """What to enter: the type as text, with an example if it is a pattern."""
        return self.limits

    def normalize(self, value: str) -> str:
        """Return the canonical form of a value. Raises ValueRefused with the reason."""
        check_text(value)
        return self._normal(value)

    def accept(self, word: str) -> str:
        """Return a value from a command line if it is in canonical form. Raises ValueRefused otherwise."""
        normal = self.normalize(word)
        if normal != word:
            raise ValueRefused(f"{clip(word)} must be written as {clip(normal)}")
        return word

    def recognizes(self, word: str) -> bool:
        """Whether a deny with this type matches a word, in every letter case and spelling that a target
        may accept.
        """
        try:
            self.normalize(folded(word))
        except ValueRefused:
            return False
        return True

    def _normal(self, value: str) -> str:
        raise NotImplementedError


def _choice_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Choice = Annotated[
    StrictStr, BeforeValidator(_choice_text), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})
]


class Choice(ParameterType):
    """One of the listed values. Whole numbers can be listed without quotes."""

    kind: ClassVar[str] = "choice"
    choices: tuple[_Choice, ...] = Field(
        alias="choice", min_length=1, max_length=500, examples=[["nginx", "haproxy"]]
    )

    @field_validator("choices")
    @classmethod
    def _usable(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        for choice in choices:
            _or_value_error(choice)
        if len(set(choices)) < len(choices):
            raise ValueError("lists a value twice: keep one of them")
        return choices

    @property
    def limits(self) -> str:
        return "one of " + ", ".join(self.choices)

    def _normal(self, value: str) -> str:
        if value not in self.choices:
            raise ValueRefused(f"{clip(value)} is not {self.wanted}")
        return value

    def recognizes(self, word: str) -> bool:
        return folded(word) in map(folded, self.choices)


def _or_value_error(value: str) -> None:
    try:
        check_text(value)
    except ValueRefused as error:
        raise ValueError(f"{clip(value)} {error}") from None


class Int(ParameterType):
    """A whole number in a range, both ends included."""

    kind: ClassVar[str] = "int"
    bounds: tuple[StrictInt, StrictInt] = Field(
        alias="int", description="The lowest and the highest number", examples=[[1, 1000]]
    )

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[int, int]) -> tuple[int, int]:
        if not -MAX_INT <= bounds[0] <= bounds[1] <= MAX_INT:
            raise ValueError("needs the lowest number first and the highest second, within 64 bits")
        return bounds

    @property
    def limits(self) -> str:
        return f"a number from {self.bounds[0]} to {self.bounds[1]}"

    def normalize(self, value: str) -> str:
        if not _INTEGER.fullmatch(value) or not self.bounds[0] <= int(value) <= self.bounds[1]:
            raise ValueRefused(f"needs {self.limits}")
        return str(int(value))

    def recognizes(self, word: str) -> bool:
        return super().recognizes(_LEADING_ZEROS.sub("", word))


class Pattern(ParameterType):
    """Text that matches an RE2 pattern in full."""

    kind: ClassVar[str] = "pattern"
    pattern: StrictStr = Field(min_length=1, max_length=MAX_PATTERN, examples=["v[0-9.]+"])

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        if hidden_at(pattern) is not None:
            raise ValueError("contains an unprintable character: remove it")
        compile_pattern(pattern)
        return pattern

    @property
    def limits(self) -> str:
        return f"text that matches {self.pattern}"

    @property
    def wanted(self) -> str:
        form = self.limits if len(self.pattern) <= READABLE else "text in the required form"
        sample = sample_of(self.pattern)
        return f"{form}, for example {sample}" if sample else form

    def _normal(self, value: str) -> str:
        if compile_pattern(self.pattern).fullmatch(value) is None:
            raise ValueRefused(f"needs {self.wanted}")
        return value

    def recognizes(self, word: str) -> bool:
        return matches_broadly(self.pattern, word)


def _plain_path(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == "" and not {"", ".", ".."}.intersection(parts[1:])


class PathBelow(ParameterType):
    """An absolute path below a folder, without `.`, `..`, `//` or a trailing slash.

    Symbolic links are not resolved.
    """

    kind: ClassVar[str] = "path"
    root: StrictStr = Field(alias="path", max_length=MAX_VALUE, examples=["/var/log"])

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: str) -> str:
        _or_value_error(root)
        if root != "/" and not _plain_path(root):
            raise ValueError("needs an absolute folder without “..”, “//” or a trailing slash")
        return root

    @property
    def limits(self) -> str:
        return f"a path below {self.root}"

    def _normal(self, value: str) -> str:
        if not _plain_path(value) or not value.startswith(self.root.rstrip("/") + "/"):
            raise ValueRefused(f"needs {self.limits}, without “..”, “//” or a trailing slash")
        return value

    def recognizes(self, word: str) -> bool:
        plain = "/" + posixpath.normpath(word).lstrip("/")
        return folded(plain).startswith(folded(self.root.rstrip("/") + "/"))


class Name(ParameterType):
    """A name of limited length: letters, digits, `.`, `_` and `-`, beginning with a letter, a digit
    or `_`.
    """

    kind: ClassVar[str] = "name"
    longest: StrictInt = Field(
        alias="name", ge=1, le=255, description="The maximum number of characters", examples=[64]
    )

    @property
    def limits(self) -> str:
        return f"a name of at most {self.longest} letters, digits, “.”, “_” and “-”"

    def _normal(self, value: str) -> str:
        if len(value) > self.longest or not _NAME.fullmatch(value):
            raise ValueRefused(f"needs {self.limits}, without “.” or “-” at the beginning")
        return value


class WorkflowValue(ParameterType):
    """A workflow value without its own type: a name of at most 64 characters."""

    kind: ClassVar[str] = "name"
    source: str = Field(alias="from", pattern=r"^workflow\.[a-z][a-z0-9_]{0,62}$", examples=["workflow.id"])

    @property
    def limits(self) -> str:
        return _WORKFLOW_NAME.limits

    def _normal(self, value: str) -> str:
        return _WORKFLOW_NAME.normalize(value)


_WORKFLOW_NAME = Name.model_validate({"name": 64})


class Cidr(ParameterType):
    """An address or a network inside one of the listed networks."""

    kind: ClassVar[str] = "cidr"
    networks: tuple[StrictStr, ...] = Field(
        alias="cidr", min_length=1, max_length=100, examples=[["10.0.0.0/8"]]
    )

    @field_validator("networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            network_of(network, ValueError)
        return networks

    @property
    def limits(self) -> str:
        return "an address or network inside " + ", ".join(self.networks)

    def _normal(self, value: str) -> str:
        asked = network_of(value, ValueRefused)
        if not any(is_inside(asked, network_of(network, ValueError)) for network in self.networks):
            raise ValueRefused(f"needs {self.limits}")
        return str(asked) if "/" in value else str(asked.network_address)


class Duration(ParameterType):
    """A number with a unit (`s`, `m`, `h` or `d`) in a range, both ends included."""

    kind: ClassVar[str] = "duration"
    bounds: tuple[StrictStr, StrictStr] = Field(
        alias="duration", description="The shortest and the longest duration", examples=[["1s", "5m"]]
    )

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[str, str]) -> tuple[str, str]:
        if seconds_of(bounds[0]) > seconds_of(bounds[1]):
            raise ValueError("needs the shortest duration first and the longest second")
        return bounds

    @property
    def limits(self) -> str:
        return f"a duration from {self.bounds[0]} to {self.bounds[1]}"

    def _normal(self, value: str) -> str:
        low, high = map(seconds_of, self.bounds)
        if not _DURATION.fullmatch(value) or not low <= seconds_of(value) <= high:
            raise ValueRefused(f"needs {self.limits}")
        return str(int(value[:-1])) + value[-1]


_TYPES: Mapping[str, type[ParameterType]] = {
    type_.kind: type_ for type_ in (Choice, Int, Pattern, PathBelow, Name, Cidr, Duration)
}


def _tag(data: Any) -> str | None:
    if isinstance(data, ParameterType):
        return "from" if isinstance(data, WorkflowValue) else data.kind
    keys = set(data) if isinstance(data, Mapping) else set()
    return next((kind for kind in _TYPES if kind in keys), "from" if "from" in keys else None)


Parameter = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Int, Tag("int")]
    | Annotated[Pattern, Tag("pattern")]
    | Annotated[PathBelow, Tag("path")]
    | Annotated[Name, Tag("name")]
    | Annotated[Cidr, Tag("cidr")]
    | Annotated[Duration, Tag("duration")]
    | Annotated[WorkflowValue, Tag("from")],
    Discriminator(
        _tag,
        custom_error_type="parameter_type",
        custom_error_message="needs one type: choice, int, pattern, path, name, cidr, duration, or from",
    ),
]
