"""Recent refusals of WebSockets, kept until kubectl retries over SPDY, as it does after each refusal."""

from __future__ import annotations

import time
from collections import OrderedDict

from broker.kernel.crypto import token_digest
from sessions_app.gateways.kubernetes.asked import Asked

KEPT_S = 15.0
MOST = 1000

_Key = tuple[str, str]


class Refusals:
    """Recent refusals, by request and credentials."""

    def __init__(self) -> None:
        self._told: OrderedDict[_Key, tuple[str, float]] = OrderedDict()

    def note(self, asked: Asked, message: str) -> None:
        """Keep the reason why a WebSocket was refused."""
        if asked.upgrade != "websocket":
            return
        self._told[_key(asked)] = (message, time.monotonic() + KEPT_S)
        while len(self._told) > MOST:
            self._told.popitem(last=False)

    def taken(self, asked: Asked) -> str:
        """Return, and drop, the reason why the same request was refused as a WebSocket; empty if it was
        not refused, or too long ago.
        """
        message, until = self._told.pop(_key(asked), ("", 0.0))
        return message if time.monotonic() < until else ""


def _key(asked: Asked) -> _Key:
    return token_digest(asked.request.headers.get("authorization", "")), token_digest(
        asked.name + asked.target
    )
