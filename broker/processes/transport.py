"""The queue's connection as workers see it."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis

__all__ = ["Transport"]


class Channel(redis.Channel):
    """A channel that says that its connection is gone, as callers of kombu expect it.

    Celery 5.7 takes a lost connection apart before it closes the channels. kombu then restores and acknowledges messages by the
    parts, and the `AttributeError` of it ends the worker. What is not acknowledged is offered again by the queue when its
    `visibility_timeout` is over.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if getattr(self.connection, "client", None) is None:
            raise ConnectionError("the connection to the queue is closed")
        return super()._connparams(asynchronous)  # type: ignore[misc,no-any-return]  # not in the stubs


class Transport(redis.Transport):
    """kombu's for Redis, with these channels."""

    Channel = Channel
