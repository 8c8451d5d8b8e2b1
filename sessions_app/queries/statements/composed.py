"""Statements that Django composes once for each kind of reader, and PostgreSQL prepares once per connection:
`Composed` for counts and flags, `Listed` for rows, `Tabled` for columns.

Every page runs the same queries for its reader. Django takes longer to compose these conditions than the
database takes to evaluate them, and the database would also plan them each time. So they are composed once,
with the functions that filter lists, for a reader with placeholder values, and these values become
parameters. The plan is made without knowing them.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, NamedTuple, TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import EmptyResultSet, ImproperlyConfigured
from django.db import connection
from django.db.models import (
    BigAutoField,
    BooleanField,
    F,
    Func,
    Model,
    QuerySet,
    Subquery,
    Value,
    prefetch_related_objects,
)
from django.db.models.expressions import RawSQL
from psycopg.sql import Literal

from accounts.models import Identity
from accounts.queries import UNKNOWN
from broker.kernel.postgresql.rows import Shape, ask
from broker.kernel.statement import Statement, text
from sessions_app.models.visibility import all_held

M = TypeVar("M", bound=Model)
Scalar = int | str | dt.datetime

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
# The parameter for each placeholder value.
Places = Sequence[tuple[object, str]]
_READER: Places = (
    (_ME, "%(me)s::bigint"),
    (_PERSON, "%(person)s::text"),
    (_NOW, "%(now)s::timestamptz"),
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


def among(column: str, ids: Sequence[int] | Subquery) -> Func:
    """Return the condition that a column has one of the ids, which are one value of the statement: a list, or
    an array in SQL. ``__in`` would write each id into the statement.
    """
    array = ids if isinstance(ids, Subquery) else Value(ids)
    joined = {"template": "(%(expressions)s))", "arg_joiner": " = ANY("}
    return Func(F(column), array, output_field=BooleanField(), **joined)


def first_of(rows: QuerySet[M], *order: str, most: int) -> QuerySet[M]:
    """Return the first rows in this order. Related rows, added to the result, are joined only to these.

    PostgreSQL would join a subquery after all other tables, so this compares with an array.
    """
    first = ArraySubquery(rows.order_by(*order).values("pk")[:most])
    return rows.model._default_manager.filter(among("pk", first)).order_by(*order)  # noqa: SLF001  # public in Django


# The ids of the reader and their machines. A subquery, so that no list is joined with all identities.
_OWN = "SELECT id FROM accounts_identity WHERE id = %s OR owner_id = %s"


class Sort(NamedTuple):
    """What a statement can depend on besides its parameters."""

    kind: str
    enabled: bool
    administers: bool
    known: bool

    def reader(self) -> Identity:
        """Return a reader of this sort, with placeholder values."""
        anyone = Identity(pk=_ME, kind=self.kind, is_active=self.enabled, is_superuser=self.administers)
        anyone.person = _PERSON if self.known else UNKNOWN
        anyone.answers_for_ids = lambda: RawSQL(_OWN, (_ME, _ME), output_field=BigAutoField())  # noqa: S611
        return anyone


def _sort_of(reader: Identity) -> Sort:
    if reader.bound_to:
        raise ImproperlyConfigured("Statements for readers with a token that is bound to a workflow differ.")
    return Sort(reader.kind, reader.is_active, reader.is_superuser, reader.person != UNKNOWN)


class Composed:
    """One statement with a value for each part, as JSON types.

    ``compose`` returns the parts for a reader and a time. It can check the reader's kind and whether they are
    enabled, administer Stint and have an email address. It can only compare the reader's id and person, and
    the time, with columns, or compute with them in the database.
    """

    def __init__(self, name: str, compose: Callable[[Identity, dt.datetime], Sequence[Part]]) -> None:
        self._name = name
        self._compose = compose
        self._statements: dict[Sort, Statement] = {}

    def __call__(self, reader: Identity, now: dt.datetime) -> list[Any]:
        """Return the values of all parts."""
        sort = _sort_of(reader)
        if sort not in self._statements:
            name = "_".join((self._name, *map(str, sort)))
            self._statements[sort] = Statement(name, self._text(sort), patience_ms=PATIENCE_MS)
        statement = self._statements[sort]
        with _logged(statement.sql):
            answer = statement([str(value).encode() for value in (reader.pk, reader.person, now)])
        found: list[Any] = json.loads(text(answer.get_value(0, 0)))
        return found

    def _text(self, sort: Sort) -> str:
        parts = ", ".join(_filled(*part, _READER) for part in self._compose(sort.reader(), _NOW))
        # Each parameter must occur in the statement, even if this kind of reader doesn't need it.
        used = ", ".join(parameter for _, parameter in _READER)
        sql = f"SELECT json_build_array({parts})::text FROM (VALUES ({used})) used"  # noqa: S608  # composed by Django
        return sql % {"me": "$1", "person": "$2", "now": "$3"}


class Listed(Generic[M]):
    """The rows of a queryset, as objects with their related rows, annotations and prefetched rows.

    ``compose`` returns the queryset for a reader (None if it doesn't depend on who reads) and a time, under
    the conditions of `Composed`, and for further values. ``more`` has the names and types of these. They too
    can only be compared with columns, lists of ids with `among`.
    """

    def __init__(self, compose: Callable[..., QuerySet[M]], **more: type[Scalar | list[int]]) -> None:
        self.compose = compose
        self.names = tuple(more)
        self._marks = {name: _placeholder(of, turn) for turn, (name, of) in enumerate(more.items())}
        own = ((self._marks[name], f"%({name})s::{_TYPES[of]}") for name, of in more.items())
        self._places = (*_READER, *own)
        self._shapes: dict[Sort | None, tuple[Shape[M], tuple[Any, ...]] | None] = {}

    def __call__(self, reader: Identity | None, now: dt.datetime, **more: Scalar | list[int]) -> list[M]:
        """Return the rows."""
        sort = _sort_of(reader) if reader else None
        if sort not in self._shapes:
            self._shapes[sort] = self._shape(sort)
        if (known := self._shapes[sort]) is None:
            return []
        shape, lookups = known
        found = shape.built(self._ask(shape.sql, reader, now=now, **more), shared=True)
        prefetch_related_objects(found, *lookups)
        return found

    def _ask(self, sql: str, reader: Identity | None, **values: Any) -> list[tuple[Any, ...]]:
        return ask(sql, **_own(reader), **values)

    def _reader(self, sort: Sort) -> Identity:
        return sort.reader()

    def _shape(self, sort: Sort | None) -> tuple[Shape[M], tuple[Any, ...]] | None:
        """Return the statement, and what to prefetch for its rows; None if there can be no rows."""
        rows = self.compose(sort and self._reader(sort), _NOW, **self._marks)
        try:
            shape = Shape(rows)
        except EmptyResultSet:
            return None
        shape.sql = _filled(shape.sql, shape.values, self._places)
        if unused := [name for name in self._marks if f"%({name})s" not in shape.sql]:
            raise ImproperlyConfigured(f"Compare {' and '.join(unused)} with a column: it became a constant.")
        return shape, rows._prefetch_related_lookups  # type: ignore[attr-defined]  # noqa: SLF001  # no public name


def _own(reader: Identity | None) -> dict[str, Any]:
    me, person = (reader.pk, reader.person) if reader else (0, UNKNOWN)
    return {"me": me, "person": person}


class Tabled(Listed[Any]):
    """The rows of a queryset of tuples, under the conditions of `Listed`, or of a statement ``around`` it,
    which has a place `{}` for it. All its values are then as the database returns them.

    The statement is planned each time, for its values. These include the ids of what the reader may see,
    because plans without them read all rows of large tables.
    """

    def __init__(
        self,
        compose: Callable[..., QuerySet[Any, Any]],
        *,
        around: str = "",
        **more: type[Scalar | list[int]],
    ) -> None:
        super().__init__(compose, **more)
        self._around = around
        self._places = (*self._places, *((mark, f"%({name})s") for (_, name), mark in _HELD.items()))

    def _shape(self, sort: Sort | None) -> tuple[Shape[Any], tuple[Any, ...]] | None:
        known = super()._shape(sort)
        if known and self._around:
            known[0].sql, known[0].converters = self._around.format(known[0].sql), {}
        return known

    def _reader(self, sort: Sort) -> Identity:
        reader = super()._reader(sort)
        held = {key: (mark,) for key, mark in _HELD.items()}
        reader.held = lambda: held
        reader.answers_for_ids = lambda: held["identity", "answers_for"]
        return reader

    def _ask(self, sql: str, reader: Identity | None, **values: Any) -> list[tuple[Any, ...]]:
        held = {}
        if reader and any(f"%({name})s" in sql for _, name in _HELD):
            held = _ids_held(reader)
        values |= _own(reader)
        with connection.cursor() as cursor:
            literals = {name: Literal(value).as_string(cursor.connection) for name, value in values.items()}
            cursor.execute(sql % (literals | held))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


# The placeholders for the ids of what a reader may see, by the keys of `Identity.held`.
_HELD = {
    key: -(2**60) - turn
    for turn, key in enumerate(
        [
            *(
                (noun, f"{permission}_{noun}")
                for noun in ("cluster", "accesspolicy")
                for permission in ("view", "request", "approve", "administer")
            ),
            ("identity", "answers_for"),
        ]
    )
}


def _ids_held(reader: Identity) -> dict[str, str]:
    """Return the ids of what the reader may see, as lists for `IN`. No row has the id of an empty one."""
    held = reader.held() if reader.held is not None else all_held(reader.pk)
    return {key[1]: ", ".join(map(str, held.get(key, ()))) or "-1" for key in _HELD}


@functools.lru_cache(maxsize=512)
def tabled(compose: Callable[..., QuerySet[Any, Any]], *key: Hashable, around: str = "") -> Tabled:
    """Return the statement of ``compose(reader, now, *key)``, which is composed once for each of the keys
    last used. The key's values are constants of the statement.
    """
    return Tabled(lambda reader, now: compose(reader, now, *key), around=around)


_TYPES = {int: "bigint", str: "text", dt.datetime: "timestamptz", list: "bigint[]"}


def _placeholder(of: type[Scalar | list[int]], turn: int) -> Scalar:
    """Return the placeholder for a further value. An integer is within the range of any column."""
    if of is int:
        return 2**31 - 1729 - turn
    return _NOW.replace(microsecond=turn + 1) if of is dt.datetime else f"{_PERSON} {turn}"


def _logged(sql: str) -> AbstractContextManager[None]:
    """Log a statement to Django's own SQL log."""
    if not connection.queries_logged:
        return nullcontext()
    return connection.make_debug_cursor(connection.cursor()).debug_sql(sql)


def _filled(sql: str, values: Sequence[Any], places: Places) -> str:
    """Return the statement with named parameters for its placeholder values."""
    connection.ensure_connection()
    return sql.replace("%%", "%%%%") % tuple(_filled_in(value, places) for value in values)


def _filled_in(value: object, places: Places) -> str:
    """Return a parameter for a value that differs between readers, and a constant for any other value,
    because partial indexes need constants.
    """
    for mark, parameter in places:
        if isinstance(value, type(mark)) and mark == value:
            return parameter
    return Literal(value).as_string(connection.connection).replace("%", "%%")
