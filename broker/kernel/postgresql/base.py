"""A database backend that treats a read-only server (a standby or a demoted primary) as unreachable. The
backend closes the connection, so that the next connection goes to the primary, and prepares the statements of
operations that run often (`prepared`).

Sources: PostgreSQL's documentation, "Error Codes" (25006, 0A000, 26000) and "Asynchronous Operations" (which
settings a server reports).
"""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any

import psycopg
from django.db import OperationalError
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property

from broker.kernel.postgresql.prepared import KeptStatements, PreparingCursor, is_prepared, prepared
from broker.kernel.statement import is_readable

# The setting that the server reports with its responses, from PostgreSQL 14.
_READS_ONLY = (b"in_hot_standby", b"default_transaction_read_only")
# More than all pages prepare, so that none is planned again. psycopg would keep 100.
_MOST_PREPARED = 250

# Seconds.
_MOMENT_S = 1.0


def reads_only(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server reported with its last response that it is read-only."""
    return any(connection.pgconn.parameter_status(name) == b"on" for name in _READS_ONLY)


class _Errors(DatabaseErrorWrapper):
    """Django's conversion of errors, which treats a read-only server as an outage and not as an error of the
    statement.
    """

    def __init__(self, wrapper: DatabaseWrapper) -> None:
        super().__init__(wrapper)
        self._wrapper = wrapper

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._wrapper.connection
        # In a read-only transaction, a write is an error of the statement.
        if (
            isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
            and connection is not None
            and reads_only(connection)
        ):
            self._wrapper.errors_occurred = True
            raise OperationalError(*error.args).with_traceback(trace) from error
        if isinstance(error, psycopg.errors.FeatureNotSupported | psycopg.errors.InvalidSqlStatementName):
            # Errors after which a prepared statement always fails: an upgrade changed the type of one of its
            # columns, or its preparation failed.
            self._wrapper.is_outdated = True
        super().__exit__(kind, error, trace)


class _Operations(DatabaseOperations):
    """Django's operations, extended so that the log of statements includes prepared ones."""

    compiler_module = "broker.kernel.postgresql.compiler"

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str:
        """Return the text of the statement with its parameters."""
        if isinstance(cursor, PreparingCursor):
            return str(self.compose_sql(sql, params)) if params else sql
        return super().last_executed_query(cursor, sql, params)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, which counts as unusable if its server is read-only or its statements are
    outdated.
    """

    ops_class = _Operations
    is_outdated = False
    _kept_cursor: Any = None
    # The time at which the server last responded to `is_usable`, by the monotonic clock.
    _responded_at = -math.inf

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        """Return a new connection."""
        made: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        made._prepared = KeptStatements()  # noqa: SLF001  # psycopg has no setting for this
        made.prepared_max = _MOST_PREPARED
        self.is_outdated, self._responded_at = False, -math.inf
        return made

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor, which prepares its statements within a `prepared` block."""
        self.connection.cursor_factory = PreparingCursor if is_prepared() else base.Cursor
        return super().create_cursor(name)

    def kept_cursor(self) -> Any:
        """Return a cursor of psycopg that prepares its statements, made once per connection: making one takes
        as long as using it. Read all rows before its next use.
        """
        self.close_if_health_check_failed()
        self.ensure_connection()
        self.validate_no_broken_transaction()
        if self._kept_cursor is None or self._kept_cursor.connection is not self.connection:
            with prepared():
                self._kept_cursor = self.create_cursor()
        return self._kept_cursor

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        """Return the conversion of psycopg's errors to Django's."""
        return _Errors(self)

    def is_usable(self) -> bool:
        """Whether the server responds, and has not reported that it is read-only.

        For a moment after a response, if no statement has failed, this checks only that the connection is
        open.
        """
        lately = time.monotonic() - self._responded_at < _MOMENT_S
        if lately and not self.errors_occurred and not self.connection.closed:
            responds = not is_readable(self.connection)
        else:
            responds = bool(super().is_usable())
            self._responded_at = time.monotonic() if responds else -math.inf
        return responds and not self.is_outdated and not reads_only(self.connection)
