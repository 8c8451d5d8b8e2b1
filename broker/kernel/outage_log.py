"""Log filters that report an outage of the queue or the database with one line per minute and process.

Otherwise, each component that uses the queue or the database would log a line each second, or a traceback for
each message and request.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import django.db
import psycopg
from kombu.exceptions import OperationalError as QueueError
from redis.exceptions import RedisError

EVERY_S = 60.0
# The loggers of Celery's connection to the queue. Other loggers report on tasks.
_OF_QUEUE = ("celery.beat", "celery.worker.consumer", "celery.worker.request", "kombu")
# Connection exceptions, a server that shuts down or starts, and a read-only server (PostgreSQL Error Codes).
# An error without a code means that the client could not connect, or lost the connection.
_GONE = ("08", "57P", "25006")


class OneLineAMinute(logging.Filter):
    """A filter that keeps one record a minute about an outage, without its traceback, and all other records
    unchanged.
    """

    said = ""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._next = 0.0

    def why(self, record: logging.LogRecord) -> BaseException | None:
        """Return the error that shows the outage, or None if the record is about anything else."""
        raise NotImplementedError

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        error = self.why(record)
        if error is None:
            return True
        record.msg, record.args = f"{self.said}: %s", (" ".join(str(error).split()),)
        record.exc_info = record.exc_text = record.stack_info = None
        # Otherwise, structlog's formatter would render the message as a dictionary.
        vars(record).pop("_name", None)
        return self.may_say()

    def may_say(self) -> bool:
        """Whether a minute has passed since the last report."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + EVERY_S
            return True


class QueueGone(OneLineAMinute):
    """The filter for the queue. Celery logs a traceback for each message that it can't send."""

    said = "The queue does not respond; access still starts and ends without the queue"

    def why(self, record: logging.LogRecord) -> BaseException | None:
        if not record.name.startswith(_OF_QUEUE):
            return None
        gone = QueueError, RedisError, OSError
        return next((error for error in _errors(record) if isinstance(error, gone)), None)


class DatabaseGone(OneLineAMinute):
    """The filter for the database. Without it, every page, task and thread that uses the database would log a
    traceback.
    """

    said = "The database does not respond; this process is waiting for it"

    def why(self, record: logging.LogRecord) -> BaseException | None:
        if record.levelno < logging.WARNING:
            return None
        return next((error for error in _handled(record) if is_outage(error)), None)


def is_outage(error: BaseException) -> bool:
    """Whether an error of Django or psycopg means that the database is unreachable, not that it refuses a
    statement.
    """
    if isinstance(error, django.db.InterfaceError | psycopg.InterfaceError):
        return True
    if not isinstance(error, django.db.OperationalError | psycopg.OperationalError):
        return False
    code = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return code is None or code.startswith(_GONE)


def _handled(record: logging.LogRecord) -> Iterator[BaseException]:
    """Yield the error of the record, or else the error that is being handled, and its causes."""
    given: Any = record.msg.get("exc_info") if isinstance(record.msg, dict) else None
    error = (
        record.exc_info[1]
        if record.exc_info
        else given
        if isinstance(given, BaseException)
        else sys.exception()
    )
    while error is not None:
        yield error
        error = error.__cause__


def _errors(record: logging.LogRecord) -> Iterator[BaseException]:
    """Yield the errors of a record, and their causes."""
    given = record.args if isinstance(record.args, tuple) else ()
    for first in (record.exc_info[1] if record.exc_info else None, *given):
        error = first
        while isinstance(error, BaseException):
            yield error
            error = error.__cause__ or error.__context__
