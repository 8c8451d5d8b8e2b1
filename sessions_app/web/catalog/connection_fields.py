"""The form fields of a cluster's connection, derived from the parameters that its connector declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.connectors.base import secret_fields
from sessions_app.connectors.nested import leaves, put
from sessions_app.connectors.registry import ConnectorType
from sessions_app.operations.targets.cluster_connection import STORED
from sessions_app.policy.json_schemas import json_schema

PREFIX = "connection."


@dataclass(frozen=True, slots=True)
class ConnectionField:
    """One form field. ``value`` is as typed, and empty for a secret. ``stored`` means that a secret is
    already stored and is kept if the field is left empty.
    """

    name: str
    label: str
    help: str
    shape: str
    value: str
    secret: bool
    stored: bool
    required: bool
    choices: Sequence[str]

    @property
    def on(self) -> bool:
        """Whether the checkbox is checked."""
        return self.value == "true"


# The spelling of abbreviations in labels.
_SHORT = {"ca": "CA", "tls": "TLS", "oauth": "OAuth", "url": "URL", "id": "ID"}


def _label(name: str) -> str:
    said = " ".join(_SHORT.get(word, word) for word in name.replace(".", "_").split("_"))
    return said[:1].upper() + said[1:]


def fields_of(
    type_: ConnectorType, values: Mapping[str, str], stored: frozenset[str]
) -> list[ConnectionField]:
    """Return the fields in the order that the connector declares.

    ``values`` maps names to strings.
    """
    secrets = secret_fields(type_.parameters)
    found = []
    for name, (about, plain, required) in _properties(type_).items():
        default = "" if name in secrets else _text(about.get("default"))
        found.append(
            ConnectionField(
                name=name,
                label=_label(name),
                help=about.get("description", ""),
                shape=_shape(plain, about),
                value="" if name in secrets else values.get(name, default),
                secret=name in secrets,
                stored=name in stored,
                required=required,
                choices=[str(choice) for choice in plain.get("enum", ())],
            )
        )
    return found


def data_of(type_: ConnectorType, values: Mapping[str, str], stored: frozenset[str]) -> dict[str, Any]:
    """Return the typed values as document values, without empty fields."""
    secrets = secret_fields(type_.parameters)
    data: dict[str, Any] = {}
    for name, (about, plain, _) in _properties(type_).items():
        text = values.get(name, "")
        shape = _shape(plain, about)
        if name in secrets and not text:
            data = put(data, name, STORED) if name in stored else data
        elif shape == "boolean":
            data = put(data, name, text == "true")
        elif text:
            data = put(data, name, _value(shape, text))
    return data


def texts_of(connection: Mapping[str, Any]) -> dict[str, str]:
    """Return a document's values as strings, for use in form fields."""
    return {name: _text(value) for name, value in leaves(connection).items()}


_Property = tuple[Mapping[str, Any], Mapping[str, Any], bool]


def _properties(type_: ConnectorType) -> dict[str, _Property]:
    """Return each field's schema by its path, without the null alternative, and whether the field is
    required.
    """
    schema = json_schema(type_.parameters)
    return dict(_inside(schema, schema.get("$defs", {}), "", required=True))


def _inside(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str, *, required: bool
) -> Iterator[tuple[str, _Property]]:
    for name, about in schema.get("properties", {}).items():
        plain = _plain(about, definitions)
        needed = required and name in schema.get("required", ())
        if "properties" in plain:
            yield from _inside(plain, definitions, f"{prefix}{name}.", required=needed)
        else:
            yield prefix + name, (about, plain, needed)


def _plain(about: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a field's schema; for an optional field, without its null alternative."""
    for choice in about.get("anyOf", ()):
        if choice.get("type") != "null":
            return _plain(choice, definitions)
    named = str(about.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = definitions.get(named, about)
    return found


def _shape(plain: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    if "PEM" in about.get("description", ""):
        return "text"
    return "choice" if "enum" in plain else str(plain.get("type", "string"))


def _value(shape: str, text: str) -> Any:
    if shape == "array":
        return text.replace(",", " ").split()
    # The connector rejects anything but a number, with its own message.
    return int(text) if shape == "integer" and text.isdecimal() and len(text) < 19 else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
