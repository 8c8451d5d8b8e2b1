"""The fields of a cluster's connection, made from the parameters that its connector declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.connectors.base import secret_fields
from sessions_app.connectors.registry import ConnectorType
from sessions_app.operations.targets.cluster_connection import STORED

PREFIX = "connection."


@dataclass(frozen=True, slots=True)
class ConnectionField:
    """One field: ``value`` as typed, never of a secret; ``stored``: a secret is there and stays if nothing is typed."""

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
        """Whether a box is ticked."""
        return self.value == "true"


# What is short for something is said as people say it.
_SHORT = {"ca": "CA", "tls": "TLS"}


def _label(name: str) -> str:
    said = " ".join(_SHORT.get(word, word) for word in name.split("_"))
    return said[:1].upper() + said[1:]


def fields_of(
    type_: ConnectorType, values: Mapping[str, str], stored: frozenset[str]
) -> list[ConnectionField]:
    """Return the fields in the order in which the connector declares them. ``values`` are texts by name."""
    schema = type_.parameters.model_json_schema()
    secrets, required = secret_fields(type_.parameters), set(schema.get("required", ()))
    found = []
    for name, about in schema.get("properties", {}).items():
        plain = _plain(about, schema.get("$defs", {}))
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
                required=name in required,
                choices=[str(choice) for choice in plain.get("enum", ())],
            )
        )
    return found


def data_of(type_: ConnectorType, values: Mapping[str, str], stored: frozenset[str]) -> dict[str, Any]:
    """Return what was typed as a document would say it; what was left empty is left out."""
    schema = type_.parameters.model_json_schema()
    secrets = secret_fields(type_.parameters)
    data: dict[str, Any] = {}
    for name, about in schema.get("properties", {}).items():
        text = values.get(name, "")
        shape = _shape(_plain(about, schema.get("$defs", {})), about)
        if name in secrets and not text:
            data |= {name: STORED} if name in stored else {}
        elif shape == "boolean":
            data[name] = text == "true"
        elif text:
            data[name] = _value(shape, text)
    return data


def texts_of(connection: Mapping[str, Any]) -> dict[str, str]:
    """Return what a document says as texts for fields."""
    return {name: _text(value) for name, value in connection.items()}


def _plain(about: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a field that may be left out without the part that says so."""
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
    # Anything else than a number is refused by the connector's own words.
    return int(text) if shape == "integer" and text.isdecimal() and len(text) < 19 else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
