"""The streams process: bare ASGI, because Django under ASGI costs several times the CPU."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
django.setup()

from sessions_app.streams import application as streams  # noqa: E402  # it needs the applications to be loaded

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_AGENTS = ("/mcp", "/.well-known/oauth-protected-resource")


class _Both:
    """Live streams for pages, and MCP for agents. Who has no agents spares the memory of the second."""

    def __init__(self) -> None:
        self._door: Any = None

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_AGENTS):
            if self._door is None:
                from sessions_app.gateways.mcp.door import Door  # noqa: PLC0415

                self._door = Door()
            await self._door(scope, receive, send)
        elif scope["type"] == "lifespan":
            await streams(scope, self._until_shutdown(receive), send)
        else:
            await streams(scope, receive, send)

    def _until_shutdown(self, receive: _Receive) -> _Receive:
        async def heard() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._door is not None:
                await self._door.stop()
            return message

        return heard


application = _Both()

__all__ = ["application"]
