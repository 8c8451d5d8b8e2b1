"""The streams process. It is plain ASGI, because Django under ASGI takes several times the CPU time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
django.setup()

from broker.edge import at_edge  # noqa: E402  # see below
from broker.kernel.database import name_process  # noqa: E402  # see below
from broker.processes.watchdog import report_server  # noqa: E402  # see below
from sessions_app.streams.application import application as streams  # noqa: E402  # it needs the applications to be loaded

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_AGENTS = ("/mcp", "/.well-known/oauth-protected-resource")


class _Both:
    """Live streams for pages, and MCP for agents. The MCP code is loaded at the first request, to save
    memory.
    """

    def __init__(self) -> None:
        self._application: Any = None
        self._stopping: asyncio.Task[None] | None = None

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_AGENTS):
            if self._application is None:
                from sessions_app.gateways.mcp.application import Application  # noqa: PLC0415

                self._application = Application()
            await at_edge(self._application, scope, receive, send)
        elif scope["type"] == "lifespan":
            _on_stop_signals(self._stop)
            await streams(scope, self._until_shutdown(receive), send)
        else:
            await streams(scope, receive, send)

    def _stop(self) -> None:
        """Begin to close the open connections. The server cancels those that are still open a moment
        later.
        """
        streams.stop()
        if self._application is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._application.stop())

    def _until_shutdown(self, receive: _Receive) -> _Receive:
        async def heard() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._stop()
                if self._stopping is not None:
                    await self._stopping
            return message

        return heard


def _on_stop_signals(act: Callable[[], None]) -> None:
    """Call ``act`` in this loop when the server receives SIGTERM or SIGINT, before the server's own handler.

    ASGI notifies an application only after the server has waited for open connections.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(given: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(act)
            if callable(before):
                before(given, frame)

        signal.signal(number, handle)


name_process("streams")
application = _Both()
report_server()

__all__ = ["application"]
