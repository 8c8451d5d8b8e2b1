"""Statements of rules, with `{name}` where a constant can be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import postgast
from postgast.pg_query_pb2 import Token

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.sql.expressions import Column, Table
from sessions_app.policy.commands.postgres.sql.nodes import inner, names_of
from sessions_app.policy.commands.postgres.sql.parsing import SQLRefused, parse
from sessions_app.policy.commands.postgres.sql.reading import Statement, read_one

_PLACE = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")
_NEAR_PLACE = re.compile(r'at or near "\$([0-9]{1,5})"')
_BARE_CALL = re.compile(r"\s*(?:select|call)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """A statement of a rule.

    ``places`` are the names of its parameters; the name for `$n` is at index n - 1.
    """

    statement: Statement
    places: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that the template uses, without duplicates."""
        return tuple(dict.fromkeys(self.places))


@lru_cache(maxsize=2048)
def read_template(text: str, schema: str) -> Template:
    """Return the statement of a rule. ``schema`` applies to names without a schema. Raises SQLRefused."""
    places: list[str] = []
    starts: set[int] = set()
    sql = bytearray()
    at = 0
    for found in _PLACE.finditer(text):
        sql += text[at : found.start()].encode()
        places.append(found[1])
        starts.add(len(sql))
        sql += f"${len(places)} ".encode()
        at = found.end()
        if text[at : at + 1].isalnum() or text[at : at + 1] in ("_", "{"):
            raise SQLRefused(f"write a space after {{{found[1]}}}", "syntax")
    sql += text[at:].encode()
    try:
        statements = parse(sql.decode())
    except SQLRefused as error:
        near = _NEAR_PLACE.search(error.reason)
        if near is None or int(near[1]) > len(places):
            raise
        raise SQLRefused(f"{{{places[int(near[1]) - 1]}}} must replace a value", "syntax") from None
    statement = read_one(statements, schema)
    _check_places(sql.decode(), starts)
    return Template(statement, tuple(places))


def _check_places(sql: str, starts: set[int]) -> None:
    found = {token.start for token in postgast.scan(sql).tokens if token.token == Token.PARAM}
    if found - starts:
        raise SQLRefused("write {name} instead of $1", "syntax")
    if starts - found:
        raise SQLRefused("a parameter can't be inside quotes or a name: it must replace a whole value")


def read_call(text: str, schema: str) -> Template:
    """Return a call of one routine: `app.refund({id})`, which is SELECT, or CALL or SELECT. Raises
    SQLRefused.
    """
    template = read_template(text if _BARE_CALL.match(text) else f"SELECT {text}", schema)
    if template.statement.routine is None:
        raise SQLRefused("write one routine with its schema, as in `app.refund({id})`")
    return template


@lru_cache(maxsize=2048)
def read_table(text: str, schema: str) -> Table:
    """Return a table by its name as written. Raises SQLRefused."""
    before = "SELECT pg_catalog.count(*) FROM "
    found = read_one(parse(before + text), schema)
    if found.shape != (before + str(found.tables[0]),):
        raise SQLRefused(f"{clip(text)} is not the name of a table")
    return found.tables[0]


@lru_cache(maxsize=8192)
def read_column(text: str, tables: tuple[Table, ...]) -> Column:
    """Return a column of one of the tables: `id`, `orders.id` or `app.orders.id`. Raises SQLRefused."""
    statements = parse(f"SELECT {text}")
    if len(statements) == 1 and len(statements[0].stmt.select_stmt.target_list) == 1:
        target = statements[0].stmt.select_stmt.target_list[0].res_target
        kind, content = inner(target.val)
        if kind == "column_ref" and not target.name and content.fields[-1].WhichOneof("node") == "string":
            return _column(names_of(content.fields), tables, text)
    raise SQLRefused(f"{clip(text)} is not the name of a column")


def _column(names: tuple[str, ...], tables: tuple[Table, ...], text: str) -> Column:
    *path, name = names
    fits = [table for table in tables if list(table)[2 - len(path) :] == path]
    if len(path) > 2 or len(fits) != 1:
        raise SQLRefused(f"write {clip(text)} with one of the tables, as in `orders.id`")
    return Column(fits[0], name)
