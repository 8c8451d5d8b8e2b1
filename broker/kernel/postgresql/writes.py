"""Insert rows, and write columns of rows, through statements that are composed only once.

Django composes such a statement anew for each row, which takes several times longer than running it. The
statements here depend only on the model and the names of its columns; all values are sent separately.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models, transaction
from django.db.models.expressions import DatabaseDefault

from broker.kernel.postgresql.rows import ask

M = TypeVar("M", bound=models.Model)
# The maximum number of rows in a composed statement, which each connection prepares for each number of rows.
_MOST_COMPOSED = 8


def insert(row: M) -> M:
    """Insert a new row, as `save(force_insert=True)` does, and return it with its key."""
    _insert([row])
    return row


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model in one statement, and set their keys."""
    if len(rows) > _MOST_COMPOSED:
        type(rows[0])._default_manager.bulk_create(rows)  # noqa: SLF001  # public in Django
    elif rows:
        _insert(rows)


def _insert(rows: Sequence[models.Model]) -> None:
    fields = _fields_of(type(rows[0]))
    each = [[field.pre_save(row, add=True) for field in fields] for row in rows]
    given = tuple(tuple(not isinstance(value, DatabaseDefault) for value in values) for values in each)
    sql, returned = _insertion(type(rows[0]), given)
    found = _run(sql, [value for values in each for value in _prepared_values(fields, values)])
    for row, back in zip(rows, found, strict=True):
        for field, value in zip(returned, back, strict=True):
            setattr(row, field.attname, _from_database(field, value))
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS  # noqa: SLF001  # as Django's own


def write(row: models.Model, *names: str) -> None:
    """Write these columns of a row, as `save(update_fields=…)` does. Raises DatabaseError if it is gone."""
    fields: list[Any] = [row._meta.get_field(name) for name in names]  # noqa: SLF001  # Django's
    values = [field.pre_save(row, add=False) for field in fields]
    if not _run(_update(type(row), names), [*_prepared_values(fields, values), row.pk]):
        raise DatabaseError(f"The row {row.pk} of {row._meta.db_table} is gone.")  # noqa: SLF001  # Django's


def _run(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    with transaction.mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS):
        return ask(sql, *values)


def _from_database(field: Any, value: Any) -> Any:
    connection = connections[DEFAULT_DB_ALIAS]
    for convert in field.get_db_converters(connection):
        value = convert(value, None, connection)
    return value


def _prepared_values(fields: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    connection = connections[DEFAULT_DB_ALIAS]
    return [
        field.get_db_prep_save(value, connection)
        for field, value in zip(fields, values, strict=True)
        if not isinstance(value, DatabaseDefault)
    ]


@functools.cache
def _fields_of(model: type[models.Model]) -> tuple[Any, ...]:
    """Return the fields that an insertion writes."""
    meta = model._meta  # noqa: SLF001  # Django's
    return tuple(
        field for field in meta.local_concrete_fields if not field.generated and field is not meta.auto_field
    )


@functools.cache
def _insertion(model: type[models.Model], given: tuple[tuple[bool, ...], ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the statement for rows with the columns that have a value, and the fields that it returns."""
    meta = model._meta  # noqa: SLF001  # Django's
    columns = ", ".join(f'"{field.column}"' for field in _fields_of(model))
    places = ", ".join(f"({', '.join('%s' if there else 'DEFAULT' for there in row)})" for row in given)
    left = [field for field, *there in zip(_fields_of(model), *given, strict=True) if not all(there)]
    back = [*meta.db_returning_fields, *(field for field in left if field not in meta.db_returning_fields)]
    returned = ", ".join(f'"{field.column}"' for field in back)
    text = f'INSERT INTO "{meta.db_table}" ({columns}) VALUES {places} RETURNING {returned}'  # noqa: S608  # names
    return text, tuple(back)


@functools.cache
def _update(model: type[models.Model], names: tuple[str, ...]) -> str:
    meta = model._meta  # noqa: SLF001  # Django's
    columns = ", ".join(f'"{meta.get_field(name).column}" = %s' for name in names)  # type: ignore[union-attr]  # all have one
    return f'UPDATE "{meta.db_table}" SET {columns} WHERE id = %s RETURNING id'  # noqa: S608  # names
