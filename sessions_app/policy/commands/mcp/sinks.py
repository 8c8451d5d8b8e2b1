"""Sinks: arguments that say where something goes, or what is changed or destroyed.

A command set marks them with ``sinks``. The linter recognizes further sinks by their names. A sink is free if
the holder chooses its value at each call, other than from a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sessions_app.policy.commands.json_values.placeholders import placeholder_in
from sessions_app.policy.commands.mcp.document import MCPCommandSet, MCPTool
from sessions_app.policy.commands.mcp.shapes import Shape, Shaped, inside
from sessions_app.policy.commands.parameters import Choice, ParameterType

_NAMES = frozenset(
    (
        *("to", "cc", "bcc", "recipient", "recipients", "participant", "participants", "attendee"),
        *("attendees", "invitee", "invitees", "email", "emails", "address", "addresses", "account"),
        *("accounts", "iban", "payee", "beneficiary", "url", "urls", "uri", "link", "href", "host"),
        *("hostname", "endpoint", "webhook", "callback", "domain", "path", "paths", "file", "files"),
        *("filename", "folder", "directory", "destination", "target", "targets", "channel", "channels"),
        *("user", "users", "username", "member", "members", "phone", "id", "ids", "uuid", "bucket"),
        *("queue", "topic", "repo", "repository"),
    )
)


def words(name: str) -> frozenset[str]:
    """Return the lower-case parts of a name: `exportAll` and `export_all` both contain `export` and `all`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return frozenset(re.split(r"[_./-]+", parted.lower()))


def loose_sinks(document: MCPCommandSet, rule: MCPTool) -> tuple[str, ...]:
    """Return the marked sinks that are free without a stated reason."""
    return tuple(name for name in rule.sinks if name not in rule.free_sinks and is_free(document, rule, name))


def likely_sinks(document: MCPCommandSet, rule: MCPTool) -> Iterator[str]:
    """Yield the arguments that are free, not marked, and named like sinks."""
    for name in unmarked(document, rule):
        constraint = rule.arguments[name]
        named = _named_in(constraint.shape) if isinstance(constraint, Shaped) else frozenset[str]()
        if _NAMES & (words(name.rpartition(".")[2]) | named):
            yield name


def unmarked(document: MCPCommandSet, rule: MCPTool) -> Iterator[str]:
    """Yield the arguments that are free, and not marked as sinks."""
    for name in rule.arguments:
        if name not in rule.sinks and name not in rule.free_sinks and is_free(document, rule, name):
            yield name


def is_free(document: MCPCommandSet, rule: MCPTool, name: str) -> bool:
    """Whether the holder chooses an argument's value at each call, other than from a list."""
    value: Any = rule.arguments[name]
    if isinstance(value, Shaped):
        return _is_free_shape(value.shape)
    parameter = placeholder_in(value)
    if parameter is not None and parameter in rule.where:
        value = document.type_of(rule, parameter)
    return isinstance(value, ParameterType) and not isinstance(value, Choice)


def _is_free_shape(shape: Shape) -> bool:
    if shape.has_const or shape.enum or shape.type in ("boolean", "null"):
        return False
    return any(map(_is_free_shape, inside(shape))) or shape.type in ("string", "integer", "number")


def _named_in(shape: Shape) -> frozenset[str]:
    """Return the parts of the names of all free properties in a shape."""
    own: Mapping[str, Shape] = shape.properties or {}
    found = [words(name) for name, one in own.items() if _is_free_shape(one)]
    return frozenset().union(*found, *map(_named_in, inside(shape)))
