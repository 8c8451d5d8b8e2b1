"""Compose a SELECT from the fields of a form, with the columns of a rule. Typed values are only ever
constants.

The fields: ``table``; ``column.N`` for each column, by its number among the rule's columns; for each
condition ``where.N.column`` (a number), ``where.N.operator`` and ``where.N.value``; ``order.column`` and
``order.direction``; ``limit``. An empty field is the same as a missing one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.answers import Readable
from sessions_app.policy.commands.characters import hidden_at, show
from sessions_app.policy.commands.postgres.sql.expressions import Column, Table
from sessions_app.policy.commands.postgres.sql.pieces import identifier, quoted_text
from sessions_app.policy.commands.postgres.sql.rules import MAX_ROWS, SelectLimits

CONDITIONS = 3
LIST, NULL = "IN", "IS NULL"
OPERATORS = ("=", "<>", "<", "<=", ">", ">=", "LIKE", LIST, NULL)
DIRECTIONS = ("ASC", "DESC")
_FIELD = re.compile(
    rf"table|column\.[0-9]{{1,3}}|where\.[0-{CONDITIONS - 1}]\.(?:column|operator|value)"
    r"|order\.(?:column|direction)|limit"
)
_COUNT = re.compile(r"[1-9][0-9]{0,6}")


class FieldRefused(ValueError):
    """A field that can't be used: its name, and the reason as a sentence without its period."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


def readable(select: SelectLimits, schema: str) -> Readable:
    """Return what a form for a rule can choose. Raises SQLRefused for a rule that can't be read."""
    tables, columns = select.listed(schema)
    found = tuple((str(table), tuple(one.name for one in columns if one.table == table)) for table in tables)
    return Readable(found, select.where == "required", select.limit)


def compose(select: SelectLimits, schema: str, values: Mapping[str, str]) -> str:
    """Return the SELECT that a form describes. Raises FieldRefused.

    Whether it is allowed is another decision: a condition such as IS NULL does not narrow it.
    """
    tables, columns = select.listed(schema)
    return _Form(select, tables, columns, {name: text for name, text in values.items() if text}).composed()


@dataclass(frozen=True, slots=True)
class _Form:
    """A rule, and the fields that are not empty."""

    select: SelectLimits
    tables: Sequence[Table]
    # By table, as the form numbers them.
    columns: Sequence[Column]
    values: Mapping[str, str]

    def composed(self) -> str:
        for name in self.values:
            if _FIELD.fullmatch(name) is None:
                raise FieldRefused("table", "The form has an unknown field: reload the page")
        table = self._table()
        names = ", ".join(self._chosen(table))
        where = " AND ".join(self._conditions(table))
        before = f"SELECT {names} FROM {table}"  # noqa: S608  # names from the rule, and quoted constants
        return f"{before}{where and ' WHERE '}{where}{self._order(table)}{self._limit()}"

    def _table(self) -> Table:
        if len(self.tables) == 1:
            return self.tables[0]
        named = self.values.get("table", "")
        found = next((one for one in self.tables if str(one) == named), None)
        if found is None:
            raise FieldRefused("table", "Choose one of the tables")
        return found

    def _chosen(self, table: Table) -> list[str]:
        found = [
            identifier(one.name)
            for number, one in enumerate(self._numbered())
            if one.table == table and f"column.{number}" in self.values
        ]
        if not found:
            raise FieldRefused("column", f"Choose at least one column of {table}")
        return found

    def _numbered(self) -> list[Column]:
        return [one for table in self.tables for one in self.columns if one.table == table]

    def _column(self, field: str, table: Table) -> str:
        text, listed = self.values[field], self._numbered()
        known = listed[int(text)] if text.isascii() and text.isdigit() and int(text) < len(listed) else None
        if known is None or known.table != table:
            raise FieldRefused(field, f"Choose a column of {table}")
        return identifier(known.name)

    def _conditions(self, table: Table) -> list[str]:
        found = list(self._each_condition(table))
        if not found and self.select.where == "required":
            raise FieldRefused("where.0.column", "A condition is required: choose a column")
        return found

    def _each_condition(self, table: Table) -> Iterator[str]:
        for number in range(CONDITIONS):
            named, said = f"where.{number}.column", f"where.{number}.value"
            if named in self.values:
                yield self._condition(number, self._column(named, table))
            elif said in self.values:
                raise FieldRefused(named, "Choose the column to compare with the value")

    def _condition(self, number: int, column: str) -> str:
        field, said = f"where.{number}.operator", f"where.{number}.value"
        operator, value = self.values.get(field, OPERATORS[0]), self.values.get(said, "")
        if operator not in OPERATORS:
            raise FieldRefused(field, "Choose one of the operators")
        if operator == NULL and value:
            raise FieldRefused(said, "IS NULL takes no value: remove it")
        if operator == NULL:
            return f"{column} IS NULL"
        if not value:
            raise FieldRefused(said, "Enter a value")
        if (at := hidden_at(value)) is not None:
            raise FieldRefused(said, f"The value contains {show(value[at])}, which is invisible")
        return f"{column} {operator} {_listed(said, value) if operator == LIST else quoted_text(value)}"

    def _order(self, table: Table) -> str:
        direction = self.values.get("order.direction", DIRECTIONS[0])
        if direction not in DIRECTIONS:
            raise FieldRefused("order.direction", "Choose one of the directions")
        if "order.column" not in self.values:
            return ""
        return f" ORDER BY {self._column('order.column', table)} {direction}"

    def _limit(self) -> str:
        most, text = self.select.limit, self.values.get("limit", "")
        if not text and most is None:
            return ""
        if _COUNT.fullmatch(text) is None or int(text) > (most or MAX_ROWS):
            raise FieldRefused("limit", f"Enter a number from 1 to {most or MAX_ROWS}")
        return f" LIMIT {text}"


def _listed(field: str, value: str) -> str:
    """Return the values between commas, without the spaces around them."""
    parts = [part.strip() for part in value.split(",")]
    if not all(parts):
        raise FieldRefused(field, "Enter values with a comma between them")
    return f"({', '.join(map(quoted_text, parts))})"
