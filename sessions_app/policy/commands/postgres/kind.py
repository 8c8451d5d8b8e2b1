"""Privileges in a database, or statements through its gateway."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.kind import CommandKind, Forms
from sessions_app.policy.commands.postgres import decide as privileges
from sessions_app.policy.commands.postgres.covers import covers as covers_statements
from sessions_app.policy.commands.postgres.decide import CompiledSet
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.filling import fillable, hides, line_of, lines_for, recorded
from sessions_app.policy.commands.postgres.lint import lint
from sessions_app.policy.commands.postgres.starters import STARTERS
from sessions_app.policy.commands.postgres.statement_set import (
    StatementSet,
    compile_open_statements,
    compile_statements,
    describe_statements,
)
from sessions_app.policy.commands.postgres.statements import decide_line


def compile_set(
    document: PostgresCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the commands with the grant's values in place. Raises CompileError."""
    make = compile_statements if document.statements else privileges.compile_set
    return make(document, bindings, keep)


def compile_open(document: PostgresCommandSet) -> CompiledSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    make = compile_open_statements if document.statements else privileges.compile_open
    return make(document)


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide a statement, or whether the grant's role has the privileges that a line names. Never raises."""
    if isinstance(compiled, StatementSet):
        return decide_line(compiled, line)
    return privileges.decide(compiled, line)


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return, as a clause, why the child may allow more than the parent; None if it never does."""
    if isinstance(parent, StatementSet) != isinstance(child, StatementSet):
        return "statements can't be covered by privileges, nor privileges by statements"
    if isinstance(parent, StatementSet) and isinstance(child, StatementSet):
        return covers_statements(parent, child)
    return privileges.covers(parent, child)


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands of a grant in document order, with bound values and the values that are free."""
    if isinstance(compiled, StatementSet):
        return describe_statements(compiled)
    return privileges.describe(compiled)


KIND = CommandKind(
    name="postgres",
    title="PostgreSQL",
    document=PostgresCommandSet,
    starters=STARTERS,
    hint="UPDATE (status) ON app.orders",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
    forms=Forms(fillable=fillable, lines_for=lines_for, line_of=line_of, hides=hides, recorded=recorded),
    fills=lambda compiled: isinstance(compiled, StatementSet),
)
