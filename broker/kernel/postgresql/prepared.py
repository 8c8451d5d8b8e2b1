"""Prepares Django statements that run often, so that PostgreSQL plans them once per connection.

Planning such a statement takes longer than running it. Within ``prepared``, each statement is sent separately
from its parameters and prepared under a name. Django's own ``server_side_binding`` would prepare every
statement, including those whose plan depends on the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg import sql
from psycopg._preparing import PrepareManager

_within: ContextVar[bool] = ContextVar("prepared", default=False)
_PLACE = re.compile("%[%s]")


@contextmanager
def prepared() -> Iterator[None]:
    """Prepare the statements of the block, or of the decorated function.

    Use this only for statements that find their rows by keys: the plan is made without knowing the values, so
    it uses no partial index whose condition depends on a value. Members of an ``Enum`` become constants of
    the statement.
    """
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)


def is_prepared() -> bool:
    """Whether statements are prepared now."""
    return _within.get()


class PreparingCursor(ServerBindingCursor):
    """A cursor that prepares each statement that has parameters."""

    def execute(
        self, query: Any, params: Sequence[Any] | Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Execute a statement."""
        if not params or not isinstance(query, str):
            return super().execute(query, params, **options)  # type: ignore[misc]  # psycopg's, unknown to the stubs
        if not isinstance(params, Mapping):
            query, params = _with_constants(query, params)
        return super().execute(query, params, **{**options, "prepare": True})  # type: ignore[misc]


class KeptStatements(PrepareManager):
    """The statements prepared on a connection, which outlive errors and rollbacks.

    Otherwise, psycopg would drop all of them after a rollback, in case the transaction had replaced tables,
    and also those of `broker.kernel.statement`.
    """

    def clear(self) -> bool:
        """Keep all prepared statements."""
        return False

    def validate(self, *_: object) -> None:
        """Keep a statement whose execution failed, because it was prepared."""
        self._rotate()


def _with_constants(query: str, params: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return the statement with members of enumerations written into it, and the remaining parameters."""
    if not any(isinstance(value, Enum) for value in params):
        return query, params
    left, kept = iter(params), []

    def place(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%%"
        value = next(left)
        if isinstance(value, Enum):
            return sql.quote(value.value).replace("%", "%%")
        kept.append(value)
        return "%s"

    return _PLACE.sub(place, query), kept
