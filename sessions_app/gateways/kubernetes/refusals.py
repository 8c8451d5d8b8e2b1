"""Refusals of WebSockets, for the moment until kubectl asks the same over SPDY, which it does after each of them."""

from __future__ import annotations

import time
from collections import OrderedDict

from broker.kernel.crypto import token_digest
from sessions_app.gateways.kubernetes.asked import Asked

KEPT_S = 15.0
MOST = 1000

_Key = tuple[str, str]


class Refusals:
    """What was refused a moment ago, by what was asked and with which credentials."""

    def __init__(self) -> None:
        self._told: OrderedDict[_Key, tuple[str, float]] = OrderedDict()

    def note(self, asked: Asked, message: str) -> None:
        """Remember why a WebSocket was refused."""
        if asked.upgrade != "websocket":
            return
        self._told[_key(asked)] = (message, time.monotonic() + KEPT_S)
        while len(self._told) > MOST:
            self._told.popitem(last=False)

    def taken(self, asked: Asked) -> str:
        """Return why the same was refused as a WebSocket, once; empty if it was not, or too long ago."""
        message, until = self._told.pop(_key(asked), ("", 0.0))
        return message if time.monotonic() < until else ""


def _key(asked: Asked) -> _Key:
    return token_digest(asked.request.headers.get("authorization", "")), token_digest(
        asked.name + asked.target
    )
