"""Statements that Django composes once for each kind of reader, and PostgreSQL prepares once per connection.

Every page runs the same queries for its reader. Django takes longer to compose these conditions than the
database takes to evaluate them, and the database would also plan them each time. So they are composed once,
with the functions that filter lists, for a reader with placeholder values, and these values become
parameters.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from psycopg.sql import Literal

from accounts.models import Identity
from accounts.queries import UNKNOWN
from broker.kernel.statement import Statement, text

# The placeholder values of the reader for whom statements are composed.
_ME = -(2**61)
_PERSON = "\x01 nobody"


class _Moment(dt.datetime):
    """A placeholder time.

    Arithmetic on it is not supported, because the result would be treated as a constant.
    """

    def __add__(self, other: object) -> Any:
        raise TypeError("Do the arithmetic in the database instead: Value(now) - span.")

    __radd__ = __sub__ = __rsub__ = __add__


_NOW = _Moment(1, 1, 1, tzinfo=dt.UTC)
_PARAMETERS: tuple[tuple[object, str], ...] = (
    (_ME, "$1::bigint"),
    (_PERSON, "$2::text"),
    (_NOW, "$3::timestamptz"),
)

# If a page takes longer than this, it has failed.
PATIENCE_MS = 15_000

Part = tuple[str, Sequence[Any]]


def how_many(rows: QuerySet[Any], *, most: int | None = None) -> Part:
    """Return the SQL expression for the number of these rows, counting at most ``most``."""
    return _part("(SELECT count(*) FROM ({}) found)", rows.order_by().values("pk")[:most], "0")


def any_of(rows: QuerySet[Any]) -> Part:
    """Return the SQL expression that is true if the query has any rows."""
    return _part("EXISTS({})", rows.order_by().values("pk"), "false")


def value_of(rows: QuerySet[Any]) -> Part:
    """Return the SQL expression for the value of the first row's only column; NULL if there is no row."""
    return _part("({})", rows[:1], "NULL")


def values_of(rows: QuerySet[Any]) -> Part:
    """Return the SQL expression for an array of the values of the rows' only column."""
    return _part("ARRAY({})", rows, "'{}'::text[]")


def _part(around: str, rows: QuerySet[Any], nothing: str) -> Part:
    try:
        sql, values = rows.query.sql_with_params()
    except EmptyResultSet:
        return nothing, ()
    return around.format(sql), values


class Composed:
    """One statement with a value for each part, as JSON types.

    ``compose`` returns the parts for a reader and a time. It can check the reader's kind and whether they are
    enabled, administer Stint and have an email address. It can only compare the reader's id and person, and
    the time, with columns, or compute with them in the database.
    """

    def __init__(self, name: str, compose: Callable[[Identity, dt.datetime], Sequence[Part]]) -> None:
        self._name = name
        self._compose = compose
        self._statements: dict[tuple[str, bool, bool, bool], Statement] = {}

    def __call__(self, reader: Identity, now: dt.datetime) -> list[Any]:
        """Return the values of all parts."""
        sort = (reader.kind, reader.is_active, reader.is_superuser, reader.person != UNKNOWN)
        if sort not in self._statements:
            name = "_".join((self._name, *map(str, sort)))
            self._statements[sort] = Statement(name, self._text(*sort), patience_ms=PATIENCE_MS)
        statement = self._statements[sort]
        with _logged(statement.sql):
            answer = statement([str(value).encode() for value in (reader.pk, reader.person, now)])
        found: list[Any] = json.loads(text(answer.get_value(0, 0)))
        return found

    def _text(self, kind: str, enabled: bool, administers: bool, known: bool) -> str:
        connection.ensure_connection()
        anyone = Identity(pk=_ME, kind=kind, is_active=enabled, is_superuser=administers)
        anyone.person = _PERSON if known else UNKNOWN
        parts = ", ".join(_filled(*part) for part in self._compose(anyone, _NOW))
        # Each parameter must occur in the statement, even if this kind of reader doesn't need it.
        used = ", ".join(parameter for _, parameter in _PARAMETERS)
        return f"SELECT json_build_array({parts})::text FROM (VALUES ({used})) used"  # noqa: S608  # composed by Django


def _logged(sql: str) -> AbstractContextManager[None]:
    """Log a statement to Django's own SQL log."""
    if not connection.queries_logged:
        return nullcontext()
    return connection.make_debug_cursor(connection.cursor()).debug_sql(sql)


def _filled(sql: str, values: Sequence[Any]) -> str:
    return sql % tuple(map(_filled_in, values))


def _filled_in(value: object) -> str:
    """Return a parameter for a value that differs between readers, and a constant for any other value,
    because partial indexes need constants.
    """
    for mark, parameter in _PARAMETERS:
        if type(mark) is type(value) and mark == value:
            return parameter
    return Literal(value).as_string(connection.connection)
