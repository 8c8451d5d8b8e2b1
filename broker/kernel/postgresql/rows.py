"""Find rows by keys, with their related rows, through a statement that is composed only once.

Django takes several times longer to compose such a statement than PostgreSQL takes to run it. Here, Django
composes only the columns and the joins, which depend on the models alone. The condition is SQL, and its
values are sent separately from the statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.query import ModelIterable, get_related_populators

from broker.kernel.postgresql.prepared import prepared

M = TypeVar("M", bound=models.Model)


def ask(sql: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a prepared statement, with `%s` for each value, or `%(name)s` for named values."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    found: list[tuple[Any, ...]]
    if connection.queries_logged or connection.execute_wrappers:
        with prepared(), connection.cursor() as cursor:
            cursor.execute(sql, named or values)
            found = cursor.fetchall()
        return found
    with connection.wrap_database_errors:
        cursor = connection.kept_cursor()
        cursor.execute(sql, named or values)
        found = cursor.fetchall()
    return found


def keep(manager: Any, rows: Sequence[models.Model]) -> None:
    """Cache these rows in a manager of related rows, as Django does with prefetched rows."""
    found = manager.get_queryset()
    found._result_cache, found._prefetch_done = list(rows), True  # noqa: SLF001  # as Django's own
    manager.instance.__dict__.setdefault("_prefetched_objects_cache", {})[_place_of(manager)] = found


def is_kept(manager: Any) -> bool:
    """Whether a manager's rows are cached, by `keep` or a prefetch."""
    return _place_of(manager) in manager.instance.__dict__.get("_prefetched_objects_cache", ())


def _place_of(manager: Any) -> str:
    name: str = getattr(manager, "prefetch_cache_name", "") or manager.field.remote_field.cache_name
    return name


class Rows(Generic[M]):
    """The rows of a model that meet a condition, with the rows that ``related`` names.

    ``tail`` is the rest of the statement after the joins, with `%s` for each value: ``WHERE …``, perhaps with
    an order and a lock. It refers to each table by the table's own name. ``only`` lists the columns to read,
    or ``without`` those not to read; by default all are read. Use this only for conditions on keys: see
    `prepared`.
    """

    def __init__(
        self,
        model: type[M],
        *related: str,
        tail: str,
        only: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> None:
        self._model, self._related, self._tail = model, related, tail
        self._only, self._without = only, without

    def __call__(self, *values: Any) -> list[M]:
        """Return the rows for these values."""
        return self._shape.built(ask(self._shape.sql, *values))

    def first(self, *values: Any) -> M | None:
        """Return the first of the rows; None if there is none."""
        return next(iter(self(*values)), None)

    @cached_property
    def _shape(self) -> Shape[M]:
        rows = self._model._default_manager.order_by()  # noqa: SLF001  # public in Django
        rows = rows.select_related(*self._related) if self._related else rows
        rows = rows.only(*self._only) if self._only else rows.defer(*self._without)
        shape = Shape(rows)
        if shape.values:
            raise ImproperlyConfigured(f"The rows of {rows.model.__name__} can't be read without values.")
        shape.sql = f"{shape.sql} {self._tail}"
        return shape


class Shape(Generic[M]):
    """A queryset's statement as Django composes it, with its values, and how its rows become objects, as
    Django's `ModelIterable` does it, or tuples for `values_list`.

    Raises EmptyResultSet if the queryset can have no rows.
    """

    def __init__(self, rows: models.QuerySet[M]) -> None:
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        self.sql, self.values = compiler.as_sql()
        self.converters = compiler.get_converters([column[0] for column in compiler.select])
        self._model = rows.model if rows._iterable_class is ModelIterable else None  # type: ignore[attr-defined]  # noqa: SLF001  # no public name
        if self._model is None:
            return
        fields = compiler.klass_info["select_fields"]
        self._own = slice(fields[0], fields[-1] + 1)
        self._names = [column[0].target.attname for column in compiler.select[self._own]]
        shape = compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS
        self._populators = get_related_populators(*shape)  # type: ignore[call-arg]  # of another Django
        self._annotations = compiler.annotation_col_map or {}

    def built(self, rows: Iterable[Sequence[Any]], *, shared: bool = False) -> list[Any]:
        """Return the objects for rows, with their related objects, or the tuples. With ``shared``, objects
        that are related to the same row have one object for it.
        """
        connection = connections[DEFAULT_DB_ALIAS]
        known: _Known = {} if shared else None
        return [self._built(list(row), connection, known) for row in rows]

    def _built(self, values: list[Any], connection: Any, known: _Known) -> M | tuple[Any, ...]:
        for place, (converters, expression) in self.converters.items():
            for convert in converters:
                values[place] = convert(values[place], expression, connection)
        if self._model is None:
            return tuple(values)
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, values[self._own])
        for populator in self._populators:
            if known is None:
                populator.populate(values, made)
            else:
                _populate(populator, values, made, known)
        for name, place in self._annotations.items():
            setattr(made, name, values[place])
        return made


# By populator and key: the related objects that have been built.
_Known = dict[tuple[int, Any], Any] | None


def _populate(
    populator: Any, values: list[Any], made: models.Model, known: dict[tuple[int, Any], Any]
) -> None:
    """Add a related object, as Django's `RelatedPopulator` does, but build it only once."""
    own = values[populator.cols_start : populator.cols_end]
    key = id(populator), own[populator.pk_idx]
    if key not in known:
        one: Any = populator.model_cls.from_db(DEFAULT_DB_ALIAS, populator.init_list, own) if key[1] else None
        known[key] = one
        for deeper in populator.related_populators if one else ():
            _populate(deeper, values, one, known)
    populator.local_setter(made, known[key])
    if known[key]:
        populator.remote_setter(known[key], made)
