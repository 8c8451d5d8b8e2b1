"""Hints to the worker, sent after commit. The row is the queue: a lost message costs a second, never an end."""

from __future__ import annotations

import time

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from broker.kernel.outage_log import QueueGone

log = structlog.get_logger(__name__)

_SILENCE = 5.0
# Seconds. Callers wait this long before they ask again for a row, so that a row has at most one message in flight.
_HINT_LASTS = 5
_silent_until = 0.0
_said = QueueGone()


def enqueue(task: str, **ids: int | str) -> None:
    """Send the named task, with ids only, after the surrounding transaction has committed."""
    transaction.on_commit(lambda: _send(task, ids))


def _send(task: str, ids: dict[str, int | str]) -> None:
    global _silent_until
    if not settings.CELERY_BROKER_URL or time.monotonic() < _silent_until:
        return
    try:
        current_app.send_task(task, kwargs=ids, retry=False, expires=_HINT_LASTS)
    except (OSError, OperationalError, RedisError) as error:
        # The sweep finds the row. Asking a dead broker again for each row would only slow people down.
        _silent_until = time.monotonic() + _SILENCE
        if _said.may_say():
            log.warning("enqueue.failed", task=task, error=str(error))
