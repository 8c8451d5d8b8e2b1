"""Values inside nested mappings by their dotted path: `inject.basic.password`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def has(data: Mapping[str, Any], path: str) -> bool:
    """Whether the data has a value at a path."""
    name, _, rest = path.partition(".")
    if not rest or name not in data:
        return name in data
    return isinstance(data[name], Mapping) and has(data[name], rest)


def at(data: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path. Raises KeyError."""
    name, _, rest = path.partition(".")
    return at(data[name], rest) if rest else data[name]


def put(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with a value at a path, and create the mappings that are missing on the way."""
    name, _, rest = path.partition(".")
    return {**data, name: put(data.get(name) or {}, rest, value) if rest else value}


def without(data: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return a copy without the values at some paths. A mapping that becomes empty is kept."""
    found = dict(data)
    for path in paths:
        name, _, rest = path.partition(".")
        if not rest:
            found.pop(name, None)
        elif isinstance(found.get(name), Mapping):
            found[name] = without(found[name], [rest])
    return found


def leaves(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values that are not mappings, by path."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found
