"""Compiles rules of statements, and derives the privileges that a grant's role needs for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from sessions_app.policy.commands.parameters import Int, ParameterType
from sessions_app.policy.commands.postgres.lines import parse_line
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.sql.compiled import (
    CompiledStatement,
    Limits,
    Place,
    shown,
)
from sessions_app.policy.commands.postgres.sql.expressions import Column, Table
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused
from sessions_app.policy.commands.postgres.sql.pieces import Value, dotted
from sessions_app.policy.commands.postgres.sql.reading import Statement
from sessions_app.policy.commands.postgres.sql.rules import SelectRule, StatementRule
from sessions_app.policy.commands.postgres.sql.templates import Template

_LENGTH = re.compile(r"\([0-9, ]*\)")
_INT4 = 2**31


def compile_rule(
    index: int,
    rule: StatementRule,
    types: Mapping[str, ParameterType],
    bound: Mapping[str, str],
    schema: str,
) -> CompiledStatement:
    """Return a rule with the grant's values in place. Raises SQLRefused for a rule that can't be read."""
    if isinstance(rule, SelectRule):
        tables, columns = rule.select.listed(schema)
        limits = Limits(
            frozenset(tables), frozenset(columns), rule.select.where == "required", rule.select.limit
        )
        needed = tuple(_column("SELECT", one) for one in columns)
        return CompiledStatement(index, rule, rule.select.text(schema), types, needed, None, (), limits)
    template = rule.template(schema)
    if template is None:
        raise SQLRefused("the rule has no statement")
    places = places_of(template, types, bound, rule.secret)
    statement = template.statement
    return CompiledStatement(
        index,
        rule,
        shown(statement.shape, places),
        types,
        _needed(statement, places, shows=rule.held),
        statement,
        places,
        None,
    )


def places_of(
    template: Template,
    types: Mapping[str, ParameterType],
    bound: Mapping[str, str],
    secret: Collection[str] = (),
) -> tuple[Place | Value, ...]:
    """Return the places of a statement in order, and its constants. Arguments of a routine get their types.

    Raises SQLRefused for an argument without a type.
    """
    found: list[Place | Value] = []
    for value in template.statement.values:
        if value.kind == "bound":
            name = template.places[value.number - 1]
            found.append(Place(name, types[name], bound.get(name), value.cast, name in secret))
        else:
            found.append(value)
    if template.statement.routine is None:
        return tuple(found)
    return tuple(one._replace(cast=one.cast or _argument_type(one)) for one in found)


def _argument_type(one: Place | Value) -> str:
    if isinstance(one, Place):
        if not isinstance(one.type, Int):
            return "text"
        return "integer" if all(-_INT4 <= bound < _INT4 for bound in one.type.bounds) else "bigint"
    if one.kind == "number" and "." not in one.text:
        return "integer" if -_INT4 <= int(one.text) < _INT4 else "bigint"
    types = {"number": "numeric", "text": "text", "bool": "boolean"}
    if one.kind not in types:
        raise SQLRefused("write the type of NULL, as in NULL::integer")
    return types[one.kind]


def _needed(statement: Statement, places: tuple[Place | Value, ...], *, shows: bool) -> tuple[Privilege, ...]:
    """Return the privileges that a role needs to run a statement, and to show the columns that it sets if it
    is held.
    """
    needed = needed_privileges(statement, places)
    shown = [_column("SELECT", column) for column in statement.written] if shows else []
    return tuple(dict.fromkeys((*needed, *shown)))


def needed_privileges(statement: Statement, places: tuple[Place | Value, ...]) -> tuple[Privilege, ...]:
    """Return the privileges that a role needs to run a statement, and no others.

    Raises SQLRefused for a SELECT that reads a table without naming any of its columns.
    """
    if statement.routine is not None:
        arguments = ", ".join(_LENGTH.sub("", one.cast) for one in places)
        return parse_line(f"EXECUTE ON FUNCTION {dotted(statement.routine)}({arguments})")
    return tuple(dict.fromkeys((*_reading(statement), *_writing(statement))))


def _reading(statement: Statement) -> Iterator[Privilege]:
    named = {column.table for column in statement.read}
    for table in statement.tables:
        if table in statement.starred:
            yield _table("SELECT", table)
        elif statement.verb == "SELECT" and table not in named:
            raise SQLRefused(f"name a column of {table}, as in count(id), or the role needs all of them")
    for column in statement.read:
        if column.table not in statement.starred:
            yield _column("SELECT", column)


def _writing(statement: Statement) -> Iterator[Privilege]:
    if statement.verb == "DELETE":
        yield _table("DELETE", statement.tables[0])
    for column in statement.written:
        yield _column(statement.verb, column)


def _table(word: str, table: Table) -> Privilege:
    return Privilege("table", word, tuple(table))


def _column(word: str, column: Column) -> Privilege:
    return Privilege("column", word, (*column.table, column.name))
