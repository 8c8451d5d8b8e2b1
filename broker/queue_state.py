"""How many messages wait in the worker's queue, and for how long."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import redis
from django.conf import settings
from kombu.exceptions import OperationalError
from prometheus_client.core import GaugeMetricFamily, Metric

from broker.celery import QUEUES, SENT_AT, app
from sessions_app.queries.status.problems import age


def queues(now: dt.datetime | None) -> Iterator[Metric]:
    """Yield whether the queue answers, and the number of messages in each of its parts with the age of the oldest.

    ``now`` None: without values, because the database, which has the time, is away.
    """
    up = GaugeMetricFamily("stint_queue_up", "Whether the worker's queue answers: 1 or 0")
    messages = GaugeMetricFamily(
        "stint_queue_messages", "Messages that wait for the worker", labels=["queue"]
    )
    oldest = GaugeMetricFamily(
        "stint_oldest_queued_message_seconds", "Age of the oldest of them", labels=["queue"]
    )
    if now is not None and settings.CELERY_BROKER_URL:
        found = _read()
        up.add_metric([], found is not None)
        for name, (count, sent) in (found or {}).items():
            messages.add_metric([name], count)
            oldest.add_metric([name], age(sent, now))
    yield from (up, messages, oldest)


def _read() -> dict[str, tuple[int, dt.datetime | None]] | None:
    """Return the number of messages of each part, and when the oldest was sent; None if the queue does not answer."""
    try:
        with app.connection_for_read() as queue:
            channel: Any = queue.default_channel
            pipe = channel.client.pipeline(transaction=False)
            for name in QUEUES:
                pipe.llen(name)
                # Messages are added on the left.
                pipe.lindex(name, -1)
            found = pipe.execute()
    except (redis.RedisError, OperationalError, OSError):
        return None
    return {
        name: (count, sent_at(last))
        for name, count, last in zip(QUEUES, found[::2], found[1::2], strict=True)
    }


def sent_at(message: bytes | None) -> dt.datetime | None:
    """Return when a message was sent, by the database's clock; None if there is none or it does not say."""
    try:
        return dt.datetime.fromisoformat(json.loads(message or b"{}")["headers"][SENT_AT])
    except (ValueError, KeyError, TypeError):
        return None
