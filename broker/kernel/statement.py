"""Statements on hot paths, which are prepared once per connection, and sent and read directly with libpq.

Source: PostgreSQL's documentation, "Asynchronous Command Processing" (libpq) and "Message Formats" (binary
values).
"""

from __future__ import annotations

import datetime as dt
import math
import select
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from psycopg import pq

# A healthy database responds sooner than this. Nothing is authorized during the wait.
PATIENCE_MS = 2000
_BINARY = 1
Answer = pq.abc.PGresult
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class DatabaseSilent(OperationalError):
    """The database did not respond in time, or not as expected."""


def drop_if_cut() -> None:
    """Close this thread's connection if the server has closed it, so that its next use opens a new one.

    Between statements, a server sends data only when it closes the connection. If a transaction is open, the
    connection is kept, because the transaction is lost and its next statement must fail.
    """
    django = connections[DEFAULT_DB_ALIAS]
    if django.connection is None or django.in_atomic_block or django.connection.closed:
        return
    if is_readable(django.connection):
        django.close()


def is_readable(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has sent data on an idle connection, which it does only to close the connection."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def is_connected() -> bool:
    """Whether this thread has a connection that doesn't appear to be closed."""
    there = connections[DEFAULT_DB_ALIAS].connection
    return there is not None and not there.closed


class Statement:
    """One statement with parameters ``$1`` …, each with its type (``$1::text``)."""

    def __init__(self, name: str, sql: str, *, patience_ms: int = PATIENCE_MS) -> None:
        self.patience_ms = patience_ms
        self.sql = sql
        # Encoded as libpq expects.
        self.name, self.prepared = name.encode(), sql.encode()
        # The connections on which the statement is prepared, with the poll object of each.
        self._polls: WeakKeyDictionary[psycopg.Connection[Any], select.poll] = WeakKeyDictionary()

    def __call__(self, values: Sequence[bytes | None]) -> Answer:
        """Run the statement, in the open transaction if there is one, with values as text. Result columns are
        binary.

        Raises DatabaseSilent, including after two seconds without a response, and then closes the connection.
        """
        drop_if_cut()
        # Look up the connection each time: in a thread with an event loop, Django has a different one for
        # each task.
        django = connections[DEFAULT_DB_ALIAS]
        if django.connection is None:
            django.ensure_connection()
        try:
            return self._answer(django.connection, values)
        except psycopg.Error as error:
            raise DatabaseSilent(str(error)) from error

    def retried(self, values: Sequence[bytes | None]) -> Answer:
        """Run the statement. If that fails, run it once more on a new connection, because an idle connection
        may have been closed.

        Raises OperationalError.
        """
        try:
            return self(values)
        except OperationalError:
            connections[DEFAULT_DB_ALIAS].close()
            return self(values)

    def _answer(self, connection: psycopg.Connection[Any], values: Sequence[bytes | None]) -> Answer:
        pgconn = connection.pgconn
        poll = self._polls.get(connection)
        if poll is None:
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            pgconn.send_prepare(self.name, self.prepared)
            _result(pgconn, poll, pq.ExecStatus.COMMAND_OK, self.patience_ms)
            self._polls[connection] = poll
        pgconn.send_query_prepared(self.name, values, result_format=_BINARY)
        return _result(pgconn, poll, pq.ExecStatus.TUPLES_OK, self.patience_ms)


def _result(pgconn: pq.abc.PGconn, poll: select.poll, wanted: int, patience_ms: int) -> Answer:
    """Return the only result of the statement that was sent."""
    # Usually, the whole statement fits into the socket's buffer.
    while pgconn.flush():
        select.select([pgconn.socket], [pgconn.socket], [], patience_ms / 1000)
        pgconn.consume_input()
    found = None
    while True:
        while pgconn.is_busy():
            if not poll.poll(patience_ms):
                connections[DEFAULT_DB_ALIAS].close()
                raise DatabaseSilent("The database did not respond.")
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        found = result
    if found is None or found.status != wanted:
        raise DatabaseSilent(found.get_error_message() if found else "The database returned no result.")
    return found


def number(value: bytes | None) -> int:
    """Return a non-negative integer from a binary column of any width."""
    return int.from_bytes(value or b"")


def text(value: bytes | None) -> str:
    """Return the text of a column, or an empty string for NULL."""
    return (value or b"").decode()


def moment(value: bytes | None) -> dt.datetime:
    """Return the time of a `timestamptz` column. Raises ValueError for NULL and for infinity."""
    try:
        return _EPOCH + dt.timedelta(
            microseconds=int.from_bytes(value or b"", signed=True) if value else math.inf
        )
    except OverflowError as error:
        raise ValueError("Invalid time.") from error
