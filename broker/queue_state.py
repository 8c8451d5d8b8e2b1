"""Metrics of the worker's queue: the number of messages, and the age of the oldest message."""

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
    """Yield whether the queue responds and, for each part of the queue, the number of messages and the age of
    the oldest.

    If ``now`` is None, yields no values, because the database, whose clock is needed, is unreachable.
    """
    up = GaugeMetricFamily("stint_queue_up", "Whether the worker's queue responds: 1 or 0")
    messages = GaugeMetricFamily("stint_queue_messages", "Messages waiting for the worker", labels=["queue"])
    oldest = GaugeMetricFamily(
        "stint_oldest_queued_message_seconds",
        "Age of the oldest message waiting for the worker",
        labels=["queue"],
    )
    if now is not None and settings.CELERY_BROKER_URL:
        found = _read()
        up.add_metric([], found is not None)
        for name, (count, sent) in (found or {}).items():
            messages.add_metric([name], count)
            oldest.add_metric([name], age(sent, now))
    yield from (up, messages, oldest)


def _read() -> dict[str, tuple[int, dt.datetime | None]] | None:
    """Return, for each part, the number of messages and the time at which its oldest message was sent; None
    if the queue doesn't respond.
    """
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
    """Return the time at which a message was sent, by the database's clock. Return None if there is no
    message, or if the message contains no time.
    """
    try:
        return dt.datetime.fromisoformat(json.loads(message or b"{}")["headers"][SENT_AT])
    except (ValueError, KeyError, TypeError):
        return None
