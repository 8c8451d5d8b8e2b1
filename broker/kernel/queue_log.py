"""Report a lost queue in one line, once a minute. Celery writes a traceback for each message that it can't send."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

EVERY_S = 60.0
# The loggers of Celery's connection to the queue. Other loggers report on tasks.
_LOGGERS = ("celery.beat", "celery.worker.consumer", "celery.worker.request", "kombu")


class OneLineAMinute(logging.Filter):
    """Lets through one record a minute about a lost queue, without its traceback. All others pass unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        error = _why_gone(record)
        if error is None:
            return True
        record.msg, record.args = (
            "The queue is not available; ends and starts continue without it: %s",
            (error,),
        )
        record.exc_info = record.exc_text = record.stack_info = None
        return self.may_say()

    def may_say(self) -> bool:
        """Whether a minute has passed since the last report."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + EVERY_S
            return True


def _why_gone(record: logging.LogRecord) -> BaseException | None:
    """Return the error that says that the queue is lost; None for a record about anything else."""
    if not record.name.startswith(_LOGGERS):
        return None
    return next(
        (error for error in _errors(record) if isinstance(error, OperationalError | RedisError | OSError)),
        None,
    )


def _errors(record: logging.LogRecord) -> Iterator[BaseException]:
    """Yield the errors of a record, and their causes."""
    given = record.args if isinstance(record.args, tuple) else ()
    for first in (record.exc_info[1] if record.exc_info else None, *given):
        error = first
        while isinstance(error, BaseException):
            yield error
            error = error.__cause__ or error.__context__
