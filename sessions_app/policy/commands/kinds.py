"""The kinds of command: how each parses its documents, decides a command and displays it.

Each kind is a package next to this module, and its ``KIND`` is registered here. The gateways, the tester, the
pages and the API call these functions, so they all get the same result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sessions_app.policy.commands.answers import Allowed, CommandView, CompiledSet, Refused
from sessions_app.policy.commands.budgets import looser, say_budgets
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.http.kind import KIND as HTTP
from sessions_app.policy.commands.kind import CommandKind, Forms
from sessions_app.policy.commands.kubernetes.kind import KIND as KUBERNETES
from sessions_app.policy.commands.lint_budgets import budget_findings
from sessions_app.policy.commands.mariadb.kind import KIND as MARIADB
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
from sessions_app.policy.spelling import did_you_mean

SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"


_KINDS: dict[str, CommandKind] = {kind.name: kind for kind in (SSH, POSTGRES, MARIADB, HTTP, KUBERNETES, MCP)}


def kind_names() -> list[str]:
    """Return the names of the kinds that command sets can have."""
    return list(_KINDS)


def command_kind(name: str) -> CommandKind:
    """Return the kind with this name. Raises KeyError."""
    return _KINDS[name]


def parse_document(data: Any, *, lines: Lines | None = None) -> CommandSetDocument:
    """Build a command set from plain data (as returned by `load_yaml`). Raises DocumentError with every
    problem.
    """
    name = data.get("kind") if isinstance(data, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(kind_names())
        if isinstance(data, dict) and "kind" in data:
            meant = did_you_mean(name, kind_names())
            raise DocumentError(
                [Problem("kind", f"needs one of {known}{meant}", line_of(lines or {}, "kind"))]
            )
        raise DocumentError([Problem("kind", f"is missing: it needs one of {known}")])
    document = validate(kind.document, data, lines=lines)
    problems = list(document.problems())
    if problems:
        raise DocumentError([Problem(p.path, p.message, line_of(lines or {}, p.path)) for p in problems])
    return document


def parse_text(text: str) -> CommandSetDocument:
    """Parse a command set from YAML. Raises DocumentError with lines."""
    data, lines = load_yaml_with_lines(text)
    return parse_document(data, lines=lines)


def command_set_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the documents, for editors.

    `parse_document` also checks commands and `from`.
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
        "$schema": SCHEMA_URL,
        "title": "Command set",
        "type": "object",
        "required": ["kind"],
        "oneOf": choices,
        "$defs": definitions,
    }


def compile_set(
    document: CommandSetDocument, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the commands with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Raises CompileError for a missing, unknown or refused value, and for an index that the set does not have.
    """
    return _KINDS[document.kind].with_values(document, bindings, keep)


def compile_open(document: CommandSetDocument) -> CompiledSet:
    """Return the set with no values bound.

    Parameters are free within their types, so the set allows everything that any grant could allow.
    """
    return _KINDS[document.kind].open(document)


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether this command may run, and in what form. No line makes this function raise."""
    return _KINDS[compiled.kind].decide(compiled, line)


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return, as a clause, why the child may allow something that the parent does not, or does less strictly;
    None if the child is within the parent.
    """
    if parent.kind != child.kind:
        return f"commands of kind {child.kind} can't be covered by commands of kind {parent.kind}"
    return looser(child.budget, parent.budget) or _KINDS[child.kind].covers(parent, child)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with their bound and free values."""
    views = _KINDS[compiled.kind].describe(compiled)
    shared = tuple(f"all commands together: {text}" for text in say_budgets(compiled.budget))
    return [view if view.denies else replace(view, detail=(*view.detail, *shared)) for view in views]


def forms_of(compiled: CompiledSet) -> Forms | None:
    """Return how the commands of a set are run from a page; None if they can't be run from there."""
    kind = _KINDS[compiled.kind]
    return kind.forms if kind.fills(compiled) else None


def lint(document: CommandSetDocument) -> list[Finding]:
    """Return all findings, errors first."""
    return [*_KINDS[document.kind].lint(document), *budget_findings(document)]


def kinds() -> list[CommandKind]:
    """Return all kinds, in the order used on pages."""
    return list(_KINDS.values())


def starters() -> list[Starter]:
    """Return the starter documents of all kinds."""
    return [one for kind in _KINDS.values() for one in kind.starters]


def starter(key: str) -> Starter:
    """Return the starter with this key, or the first one."""
    found = starters()
    return next((one for one in found if one.key == key), found[0])
