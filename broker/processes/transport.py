"""The worker's connection to the queue."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis

__all__ = ["SentinelTransport", "Transport"]


class _Frugal:
    """A channel that makes one client for each pool of connections. kombu makes one for each command, which
    takes longer than the command.
    """

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[misc]  # not in the stubs
        if self._kept is None or self._kept.connection_pool is not self.pool:  # type: ignore[attr-defined]
            self._kept = super()._create_client()  # type: ignore[misc]
        return self._kept


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


class Channel(_Frugal, _Closed, redis.Channel):
    """A channel to a single server."""


class SentinelChannel(_Frugal, _Closed, redis.SentinelChannel):
    """A channel to the current master of the sentinels."""


class Transport(redis.Transport):
    """kombu's transport for Redis, with these channels."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """kombu's transport for Redis Sentinel, with these channels."""

    Channel = SentinelChannel
