"""The details that approvers see of a held statement: its rows before and after, and its plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.postgres.sql.compiled import CompiledStatement
from sessions_app.policy.commands.postgres.sql.expressions import Table
from sessions_app.policy.commands.postgres.sql.pieces import identifier, render
from sessions_app.policy.commands.postgres.sql.reading import Statement, Verb

# Rows that a hold shows.
MAX_ROWS = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """The details that approvers see of a held statement.

    ``columns`` are the columns of its table that it reads or sets, and ``written`` those that it sets.
    ``where`` is its condition, and ``plain`` the whole statement, both with constants in place of all values;
    empty for one whose values are unknown. ``returns``: it has RETURNING. ``secret``: one of its values is
    secret, so neither rows nor plan may be shown. ``explain``: its plan is shown.
    """

    verb: Verb
    table: Table
    columns: tuple[str, ...]
    written: frozenset[str]
    where: str
    plain: str
    returns: bool
    secret: bool
    explain: bool

    def named(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return all columns to show: the key first."""
        return tuple(dict.fromkeys((*keys, *self.columns)))

    def returning(self, keys: Iterable[str]) -> str:
        """Return the SQL to append to the statement, so that it returns the columns as text."""
        before = ", " if self.returns else " RETURNING "
        return before + _texts(self.named(keys))

    def before(self, keys: Sequence[str]) -> str:
        """Return a SELECT that reads and locks the first rows that an UPDATE will change."""
        order = f" ORDER BY {', '.join(map(identifier, keys))}" if keys else ""
        where = f" WHERE {self.where}" if self.where else ""
        return (
            f"SELECT {_texts(self.named(keys))} FROM {self.table}{where}{order}"  # noqa: S608  # canonical
            f" LIMIT {MAX_ROWS} FOR NO KEY UPDATE"
        )


def shown_of(command: CompiledStatement, statement: Statement, texts: Sequence[str] = ()) -> Shown:
    """Return the details of a held statement for approvers.

    ``texts`` are its values as constants, if they are known.
    """
    first = statement.where_from
    names = (*(one.name for one in statement.read), *(one.name for one in statement.written))
    return Shown(
        verb=statement.verb,
        table=statement.tables[0],
        columns=tuple(dict.fromkeys(names)),
        written=frozenset(one.name for one in statement.written),
        where=render(statement.where, texts[first:]) if texts or None not in statement.where else "",
        plain=render(statement.shape, texts) if texts or None not in statement.shape else "",
        returns=statement.returns,
        secret=command.has_secrets,
        explain=command.rule.explained,
    )


def _texts(names: Iterable[str]) -> str:
    return ", ".join(f"{identifier(name)}::pg_catalog.text" for name in names)
