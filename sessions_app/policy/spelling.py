"""Suggestions for misspelled keys, values and names in a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from sessions_app.policy.json_schemas import json_schema

_CLOSE = 0.66
Schema = Mapping[str, Any]


def suggestion(model: type[BaseModel], path: str, data: Any) -> str:
    """Return the known key that is closest to a misspelled one; empty if none is close.

    ``path`` leads to the misspelled key (`incident.own_calls`) in the document ``data``. Keys that the same
    mapping already has aren't suggested.
    """
    *parent, key = [int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part in parent:
        data = data[part]
    known = sorted(_keys_at(json_schema(model), parent, data).difference(data))
    return closest(str(key).lower().replace("-", "_").replace(" ", "_"), known)


def closest(typed: str, known: Iterable[str]) -> str:
    """Return the known word that is closest to a misspelled one; empty if none is close."""
    return next(iter(get_close_matches(typed, list(known), 1, _CLOSE)), "")


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """Return a question that suggests the closest known word, with a space before it; empty if none is
    close.
    """
    meant = closest(typed.lower(), known) if isinstance(typed, str) else ""
    return f". Did you mean `{meant}`?" if meant else ""


def _keys_at(schema: Schema, path: Sequence[str | int], data: Mapping[str, Any]) -> set[str]:
    """Return the keys that the mapping ``data`` at a path of the document can have.

    If several kinds of mappings are possible, only those that share the most keys with ``data`` count.
    """
    definitions = schema.get("$defs", {})
    nodes = list(_alternatives(schema, definitions))
    for part in path:
        inside = (child for node in nodes for child in _children(node, part))
        nodes = [one for child in inside for one in _alternatives(child, definitions)]
    kinds = [set(node["properties"]) for node in nodes if "properties" in node]
    most = max((len(keys & data.keys()) for keys in kinds), default=0)
    return {key for keys in kinds if len(keys & data.keys()) == most for key in keys}


def _alternatives(node: Schema, definitions: Schema) -> Iterator[Schema]:
    """Yield a schema with its references resolved, and each alternative in it."""
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    yield node
    for word in ("anyOf", "oneOf", "allOf"):
        for one in node.get(word, ()):
            yield from _alternatives(one, definitions)


def _children(node: Schema, part: str | int) -> Iterator[Schema]:
    """Yield the schemas of a list's entry or of a mapping's value."""
    if isinstance(part, int):
        yield from (node[word] for word in ("items",) if isinstance(node.get(word), dict))
        yield from node.get("prefixItems", ())[part : part + 1]
    elif part in node.get("properties", {}):
        yield node["properties"][part]
    else:
        yield from node.get("patternProperties", {}).values()
        yield from (node[word] for word in ("additionalProperties",) if isinstance(node.get(word), dict))
