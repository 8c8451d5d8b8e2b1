"""The kinds of command: how each reads its documents, decides a command and shows it.

A kind is one package beside this module; its ``KIND`` is registered here. Gateways, tester, pages and API ask through
these functions, so that all of them get the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sessions_app.policy.commands.answers import Allowed, CommandView, CompiledSet, Refused
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.http.kind import KIND as HTTP
from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.kubernetes.kind import KIND as KUBERNETES
from sessions_app.policy.commands.mcp.kind import KIND as MCP
from sessions_app.policy.commands.postgres.kind import KIND as POSTGRES
from sessions_app.policy.commands.ssh.kind import KIND as SSH
from sessions_app.policy.commands.starters import Starter
from sessions_app.policy.documents import (
    DocumentError,
    Lines,
    Problem,
    line_of,
    load_yaml_with_lines,
    validate,
)

SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"


_KINDS: dict[str, CommandKind] = {kind.name: kind for kind in (SSH, POSTGRES, HTTP, KUBERNETES, MCP)}


def kind_names() -> list[str]:
    """The kinds that command sets can have."""
    return list(_KINDS)


def command_kind(name: str) -> CommandKind:
    """The kind of that name. Raises KeyError."""
    return _KINDS[name]


def parse_document(data: Any, *, lines: Lines | None = None) -> CommandSetDocument:
    """A command set from plain data (as `load_yaml` gives it). Raises DocumentError naming each fault."""
    name = data.get("kind") if isinstance(data, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(kind_names())
        if isinstance(data, dict) and "kind" in data:
            raise DocumentError([Problem("kind", f"needs one of {known}", line_of(lines or {}, "kind"))])
        raise DocumentError([Problem("kind", f"is missing: it needs one of {known}")])
    document = validate(kind.document, data, lines=lines)
    problems = list(document.problems())
    if problems:
        raise DocumentError([Problem(p.path, p.message, line_of(lines or {}, p.path)) for p in problems])
    return document


def parse_text(text: str) -> CommandSetDocument:
    """A command set from its YAML. Raises DocumentError with lines."""
    data, lines = load_yaml_with_lines(text)
    return parse_document(data, lines=lines)


def command_set_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the documents, for editors. Commands and `from` are checked further by
    `parse_document`.
    """
    definitions: dict[str, Any] = {}
    choices = []
    for kind in _KINDS.values():
        schema = kind.document.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        choices.append(schema)
    if len(choices) == 1:
        return {"$schema": SCHEMA_URL, **choices[0], "$defs": definitions}
    return {
        "$schema": SCHEMA_URL, "title": "Command set", "type": "object", "required": ["kind"],
        "oneOf": choices, "$defs": definitions,
    }  # fmt: skip


def compile_set(
    document: CommandSetDocument, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """The commands with the grant's values in place; `keep` are the indices that the approvers left in (None: all).

    Raises CompileError for a missing, unknown or refused value and for an index that the set does not have.
    """
    return _KINDS[document.kind].with_values(document, bindings, keep)


def compile_open(document: CommandSetDocument) -> CompiledSet:
    """The set before any grant: its parameters are free inside their types, so it allows what some grant of it could."""
    return _KINDS[document.kind].open(document)


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Whether this command may run, and as what. Never raises for a line."""
    return _KINDS[compiled.kind].decide(compiled, line)


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Why the child may allow what the parent does not, or less strictly, in a clause; None when it is within the parent."""
    if parent.kind != child.kind:
        return f"commands of {child.kind} are not within those of {parent.kind}"
    return _KINDS[child.kind].covers(parent, child)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """The commands of a grant in the document's order, with bound values and what is free at each run."""
    return _KINDS[compiled.kind].describe(compiled)


def lint(document: CommandSetDocument) -> list[Finding]:
    """All findings, errors first."""
    return _KINDS[document.kind].lint(document)


def kinds() -> list[CommandKind]:
    """All kinds, in the order of pages."""
    return list(_KINDS.values())


def starters() -> list[Starter]:
    """Documents to begin with, of every kind."""
    return [one for kind in _KINDS.values() for one in kind.starters]


def starter(key: str) -> Starter:
    """The starter of that key, or the first one."""
    found = starters()
    return next((one for one in found if one.key == key), found[0])
