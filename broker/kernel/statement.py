"""Statements of the hot paths: prepared once on each connection, sent and read in libpq's own terms.

Source: PostgreSQL's documentation, "Asynchronous Command Processing" (libpq) and "Message Formats" (binary values).
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

# Longer than any healthy database takes; nothing is authorized meanwhile.
PATIENCE_MS = 2000
_BINARY = 1
Answer = pq.abc.PGresult
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class DatabaseSilent(OperationalError):
    """The database did not answer in time, or not as it should."""


class Statement:
    """One statement with parameters ``$1`` …, each of which says its type (``$1::text``)."""

    def __init__(self, name: str, sql: str) -> None:
        self.sql = sql
        self._name, self._prepared = name.encode(), sql.encode()
        # Connections on which it is prepared, and how each is waited for.
        self._polls: WeakKeyDictionary[psycopg.Connection[Any], select.poll] = WeakKeyDictionary()

    def __call__(self, values: Sequence[bytes | None]) -> Answer:
        """Run it in the open transaction, if there is one, with values as text; the answer's columns are binary.

        Raises DatabaseSilent, also when nothing is heard for two seconds: the connection is closed then.
        """
        # Looked up each time: what Django calls its connection in a thread differs between the tasks of an event loop.
        django = connections[DEFAULT_DB_ALIAS]
        if django.connection is None:
            django.ensure_connection()
        try:
            return self._answer(django.connection, values)
        except psycopg.Error as error:
            raise DatabaseSilent(str(error)) from error

    def _answer(self, connection: psycopg.Connection[Any], values: Sequence[bytes | None]) -> Answer:
        pgconn = connection.pgconn
        poll = self._polls.get(connection)
        if poll is None:
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            pgconn.send_prepare(self._name, self._prepared)
            _result(pgconn, poll, pq.ExecStatus.COMMAND_OK)
            self._polls[connection] = poll
        pgconn.send_query_prepared(self._name, values, result_format=_BINARY)
        return _result(pgconn, poll, pq.ExecStatus.TUPLES_OK)


def _result(pgconn: pq.abc.PGconn, poll: select.poll, wanted: int) -> Answer:
    """Return the one result of what was sent. What is sent fits into the socket's buffer, so that it need not be waited for."""
    pgconn.flush()
    found = None
    while True:
        while pgconn.is_busy():
            if not poll.poll(PATIENCE_MS):
                connections[DEFAULT_DB_ALIAS].close()
                raise DatabaseSilent("The database does not answer.")
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        found = result
    if found is None or found.status != wanted:
        raise DatabaseSilent(found.get_error_message() if found else "The database gave no answer.")
    return found


def number(value: bytes | None) -> int:
    """Return an integer that is not negative, of any width."""
    return int.from_bytes(value or b"")


def text(value: bytes | None) -> str:
    """Return a text; nothing for NULL."""
    return (value or b"").decode()


def moment(value: bytes | None) -> dt.datetime:
    """Return a `timestamptz`. Raises ValueError for NULL, and for what no calendar has, such as infinity."""
    try:
        return _EPOCH + dt.timedelta(
            microseconds=int.from_bytes(value or b"", signed=True) if value else math.inf
        )
    except OverflowError as error:
        raise ValueError("Invalid time.") from error
