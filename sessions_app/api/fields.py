"""Fields of bodies and queries. They accept or reject values without converting them."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.utils.serializer_helpers import BindingDict

from accounts.names import USERNAME
from broker.cli.durations import PATTERN, parse_duration
from sessions_app.policy.references import NAME, WORKFLOW

DIGEST = r"^[0-9a-f]{64}$"
EVENT = r"^[a-z_]{1,30}(\.[a-z_]{1,30})?$"
LONGEST = 366 * 86400
DURATION = {
    "oneOf": [
        {"type": "integer", "minimum": 1, "maximum": LONGEST},
        {
            "type": "string",
            "pattern": PATTERN,
            "minLength": 2,
        },
    ],
    "description": "Seconds, or text like `30m`, `4h`, `1h30m`, `2d`.",
    "examples": ["1h30m", 5400],
}
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_YEARS = range(2000, 2101)


Getter = TypeVar("Getter", bound=Callable[..., Any])


def whole(pattern: str) -> str:
    """Return the pattern for JSON Schema that matches only the whole text."""
    return f"^{pattern}$"


def shown_as(schema: Any) -> Callable[[Getter], Getter]:
    """Declare the schema of a computed field, as a shape or as JSON Schema."""
    decorate: Callable[[Getter], Getter] = extend_schema_field(schema)
    return decorate


class Text(serializers.CharField):
    """Text. Numbers are rejected, spaces are preserved, and private keys are never accepted."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        if not options.get("allow_blank"):
            options.setdefault("min_length", 1)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if _PRIVATE_KEY.search(data):
            raise serializers.ValidationError(
                "This contains a private key. Never share a private key, and replace this one.",
                code="private_key",
            )
        return super().to_internal_value(data)


class _Patterned(Text):
    """Text that matches a pattern as a whole."""

    pattern = ""
    says = ""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if "\n" in text or not re.fullmatch(self.pattern, text):
            raise serializers.ValidationError(self.says, code="pattern")
        return text


@extend_schema_field({"type": "string", "pattern": whole(NAME), "examples": ["restart-web"]})
class Name(_Patterned):
    """The name of a cluster, target, command set, policy or group."""

    pattern = NAME
    says = "Use at most 63 lowercase letters, digits, - and _."


@extend_schema_field({"type": "string", "pattern": whole(USERNAME), "examples": ["alice"]})
class Username(_Patterned):
    """The username of an identity, in its canonical spelling."""

    pattern = USERNAME
    says = "Use at most 100 lowercase letters, digits and . _ @ + -."


@extend_schema_field(
    {"type": "string", "pattern": DIGEST, "description": "The digest of the request that was read."}
)
class Digest(_Patterned):
    """A SHA-256 in hex."""

    pattern = DIGEST
    says = "Send the `digest` of what you read: 64 hex digits."


@extend_schema_field(
    {"type": "string", "pattern": whole(WORKFLOW), "examples": ["INC-101", "pagerduty:Q1ABC"]}
)
class WorkflowRef(_Patterned):
    """The reference of a workflow in Stint or in a source."""

    pattern = WORKFLOW
    says = "Use a workflow reference like INC-101, CHG-7, TKT-3, TSK-2 or pagerduty:Q1ABC."


@extend_schema_field({"type": "string", "pattern": EVENT, "examples": ["grant.ended", "grant"]})
class EventName(_Patterned):
    """An event of the record, or the first part of its name for the whole family."""

    pattern = EVENT
    says = "Use an event like grant.ended, or a family of events like grant."


class Flag(serializers.BooleanField):
    """True or false; in a query, `true` or `false`."""

    _WORDS: Mapping[Any, bool] = {"true": True, "false": False}

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(data, bool):
            return data
        if isinstance(self.root, Query) and isinstance(data, str) and data in self._WORDS:
            return self._WORDS[data]
        self.fail("invalid", input=data)
        return False


class Whole(serializers.IntegerField):
    """A whole number; in a query, digits only."""

    def to_internal_value(self, data: Any) -> int:
        written = (
            isinstance(self.root, Query) and isinstance(data, str) and re.fullmatch(r"[0-9]{1,18}", data)
        )
        if not written and (not isinstance(data, int) or isinstance(data, bool)):
            self.fail("invalid")
        return int(data)


class Moment(serializers.DateTimeField):
    """A time in RFC 3339 format with an offset. Responses are in UTC."""

    def to_internal_value(self, value: Any) -> dt.datetime:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise serializers.ValidationError(
                "Use a time with its offset, like 2026-11-28T02:00:00Z.", code="invalid"
            )
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise serializers.ValidationError(f"Invalid time: {error}.", code="invalid") from error
        if moment.year not in _YEARS:
            raise serializers.ValidationError("The year must be between 2000 and 2100.", code="invalid")
        return moment.astimezone(dt.UTC)

    def to_representation(self, value: Any) -> str | None:  # type: ignore[override]  # the time may be missing
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment else None


@extend_schema_field(DURATION)
class Duration(serializers.Field[int, Any, int, Any]):
    """A duration: a number of seconds, or text with units like `1h30m`."""

    def to_internal_value(self, data: Any) -> int:
        try:
            seconds = data if type(data) is int and data > 0 else parse_duration(data)
        except ValueError as error:
            raise serializers.ValidationError(f"{error}.", code="invalid") from error
        if seconds > LONGEST:
            raise serializers.ValidationError("Must be at most one year.", code="invalid")
        return seconds

    def to_representation(self, value: int) -> int:
        return value


class Names(serializers.ListField):
    """A list of names. An empty list means none."""

    child = Name()

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 1000, **options})


class Choice(serializers.ChoiceField):
    """One of the listed values; null in responses if there is none."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)

    def to_representation(self, value: Any) -> Any:
        return str(value) if value else None


class _Serializer(serializers.Serializer[Any]):
    """A serializer that makes its plain fields once per process.

    DRF makes all fields anew for each object, which takes longer than using them. Plain fields depend only on
    the class; nested serializers, and fields that call a method of this object, are still made anew.
    """

    @functools.cached_property
    def fields(self) -> BindingDict:
        """The fields by name."""
        fields = BindingDict(self)
        for name, field in _fields_of(type(self)).items():
            if isinstance(field, serializers.BaseSerializer):
                fields[name] = copy.deepcopy(field)
            elif isinstance(field, serializers.SerializerMethodField):
                fields.fields[name] = own = copy.copy(field)
                own.parent = self
            else:
                fields.fields[name] = field
        return fields


@functools.cache
def _fields_of(kind: type[_Serializer]) -> Mapping[str, Any]:
    """Return the fields of a class, which belong to an object of it without data."""
    fields = BindingDict(empty := kind())
    for name, field in empty.get_fields().items():
        fields[name] = field
    return fields


class Body(_Serializer):
    """A request body. Unknown fields are rejected by name, so that no field is silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(self.fields) or "none"
                raise serializers.ValidationError(
                    {name: [f"Unknown field. Known fields: {known}."] for name in unknown}
                )
        return super().to_internal_value(data)


class Query(Body):
    """The query parameters of a request."""


class Shape(_Serializer):
    """The shape of a response."""
