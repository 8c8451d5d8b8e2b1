"""Messages to the worker, which get them after the commit. They are only hints: if a message is lost, the
sweep finds the row a second later.

Tasks in the life of a grant are notifications of the database, to which each worker listens
(`broker.processes.hints`): a message through the queue takes several times the CPU. All others go through the
queue.
"""

from __future__ import annotations

import json
import time

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from broker.kernel import request_id, tracing
from broker.kernel.outage_log import QueueGone
from broker.kernel.postgresql.rows import ask

log = structlog.get_logger(__name__)

CHANNEL = "stint_task"
NOTIFIED = frozenset({"grants.provision", "grants.prepare", "grants.deprovision"})
_SILENCE = 5.0
# Seconds for which callers wait before they send another message for the same row, so that each row has at
# most one message in flight.
_HINT_LASTS = 5
_silent_until = 0.0
_said = QueueGone()


def enqueue(task: str, **ids: int | str) -> None:
    """Send a task to the worker, with IDs as arguments, once the surrounding transaction has committed."""
    if task in NOTIFIED:
        _notify(task, ids)
    else:
        transaction.on_commit(lambda: _send(task, ids))


def _notify(task: str, ids: dict[str, int | str]) -> None:
    """Send a notification, which the database delivers with the commit."""
    hint = {"task": task, "ids": ids, "request_id": request_id.current(), "trace": tracing.traceparent()}
    ask("SELECT pg_notify(%s, %s)", CHANNEL, json.dumps(hint))


def _send(task: str, ids: dict[str, int | str]) -> None:
    global _silent_until
    if not settings.CELERY_BROKER_URL or time.monotonic() < _silent_until:
        return
    try:
        current_app.send_task(task, kwargs=ids, retry=False, expires=_HINT_LASTS)
    except (OSError, OperationalError, RedisError) as error:
        # Ignore the failure, because the sweep finds the row. If the queue is unreachable, retries would only
        # slow down requests.
        _silent_until = time.monotonic() + _SILENCE
        if _said.may_say():
            log.warning("enqueue.failed", task=task, error=str(error))
