"""Compare a command set with the server's definitions of its tools: argument formats and annotations.

Source: Model Context Protocol 2026-07-28, "Tools", ToolAnnotations; JSON Schema, draft 2020-12, "format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sessions_app.policy.commands.mcp.compiling import CompiledSet, CompiledToolCommand

_FORMATS = frozenset(
    ("email", "idn-email", "uri", "uri-reference", "iri", "iri-reference", "hostname", "idn-hostname")
)


def doubts(compiled: CompiledSet, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield, as sentences, the risks that the tools' definitions suggest, but that the set does not
    declare.
    """
    for one in (command for commands in compiled.by_tool.values() for command in commands):
        tool = tools.get(one.name, {})
        yield from _of_annotations(one, tool.get("annotations"))
        if one.rule.effect != "read":
            formats = _formats(tool.get("inputSchema"))
            for name in one.unmarked:
                if (said := formats.get(name)) in _FORMATS:
                    yield f"{name} of {one.name} is free and has the format {said}: it may be a sink."


def _of_annotations(one: CompiledToolCommand, annotations: Any) -> Iterator[str]:
    said = annotations if isinstance(annotations, Mapping) else {}
    if said.get("readOnlyHint") is True:
        return
    if said.get("destructiveHint") is True and one.rule.effect != "destructive":
        yield f"{one.name} may destroy something, but its effect is {one.rule.effect}."
    elif said.get("readOnlyHint") is False and one.rule.effect == "read":
        yield f"{one.name} may change something, but its effect is read."


def _formats(schema: Any) -> dict[str, str]:
    """Return the format of each top-level argument, or of the items of a list."""
    own = schema.get("properties") if isinstance(schema, Mapping) else None
    found: dict[str, str] = {}
    for name, one in own.items() if isinstance(own, Mapping) else ():
        inner = one.get("items", one) if isinstance(one, Mapping) else {}
        if isinstance(inner, Mapping) and isinstance(inner.get("format"), str):
            found[name] = inner["format"]
    return found
