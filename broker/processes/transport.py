"""The worker's connection to the queue."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis

__all__ = ["SentinelTransport", "Transport"]


class _Closed:
    """A channel that raises the error that kombu's callers expect for a lost connection.

    Celery 5.7 clears a lost connection before it closes the channels. kombu then restores and acknowledges
    messages on it, and the resulting `AttributeError` ends the worker. The queue delivers unacknowledged
    messages again after its `visibility_timeout`.
    """

    connection: Any

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if getattr(self.connection, "client", None) is None:
            raise ConnectionError("the connection to the queue is closed")
        return super()._connparams(asynchronous)  # type: ignore[misc,no-any-return]  # not in the stubs


class Channel(_Closed, redis.Channel):
    """A channel to a single server."""


class SentinelChannel(_Closed, redis.SentinelChannel):
    """A channel to the current master of the sentinels."""


class Transport(redis.Transport):
    """kombu's transport for Redis, with these channels."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """kombu's transport for Redis Sentinel, with these channels."""

    Channel = SentinelChannel
