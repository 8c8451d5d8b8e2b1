"""Relay a port-forward, whose client may open streams only to the ports that the command lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.sockets import drop, protocols_of, say_goodbye
from sessions_app.gateways.kubernetes import spdy
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.status import NotMade
from sessions_app.gateways.kubernetes.streams import accept
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import KubernetesUse

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
# How many streams to other ports a client may try to open before its connection is closed.
MOST_STREAMS = 100


class Tunnel:
    """One port-forward that is allowed. ``begun`` is the client's WebSocket once it is open.

    ``sent`` means that the API server may have received the request. ``size`` is the number of bytes from the
    API server.
    """

    def __init__(
        self,
        upstream: Upstream,
        asked: Asked,
        use: KubernetesUse,
        ports: Collection[int],
        *,
        agent: str,
        refused: Callable[[str], None],
    ) -> None:
        """``refused`` is called once for each port that the client tries but ``ports`` does not include."""
        self._upstream, self._asked, self._use, self._agent = upstream, asked, use, agent
        self._ports, self._refused_port = {str(port) for port in ports}, refused
        self.begun: web.WebSocketResponse | None = None
        self.sent = False
        self.size = 0
        self._frames, self._bounds = spdy.Frames(), spdy.Bounds()
        self._refused: set[int] = set()
        self._told: set[str] = set()
        # Refusals that wait until they can be sent between two frames of the API server.
        self._back = bytearray()

    async def run(self) -> web.StreamResponse:
        """Open both sides and relay data until one ends. Raises NotMade, NotReached, ConnectionError."""
        if PROTOCOL not in protocols_of(self._asked.request):
            raise NotMade(403, f"Use the protocol {PROTOCOL}.")
        self.sent = True
        opened = self._upstream.websocket(
            self._use, self._asked.target, {"User-Agent": self._agent}, [PROTOCOL]
        )
        try:
            async with opened as there:
                here = self.begun = await accept(self._asked, [PROTOCOL])
                await self._pass(here, there)
                await say_goodbye(here, 1000, b"")
                return here
        except NotReached as error:
            self.sent = error.sent
            raise

    async def _pass(self, here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
        ways = {asyncio.create_task(self._up(here, there)), asyncio.create_task(self._down(there, here))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ends = await asyncio.gather(*ways, return_exceptions=True)
        if any(isinstance(one, spdy.BadFrame) for one in ends):
            raise ConnectionError("the client does not use the port-forward protocol")

    async def _up(self, here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
        while (message := await here.receive()).type == WSMsgType.BINARY:
            out = bytearray()
            for item in self._frames.feed(message.data):
                self._decide(item, out)
            if out:
                await there.send_bytes(bytes(out))
            await self._refuse(here)

    async def _refuse(self, here: web.WebSocketResponse) -> None:
        if self._back and self._bounds.between:
            back, self._back = bytes(self._back), bytearray()
            await here.send_bytes(back)

    def _decide(self, item: spdy.Item, out: bytearray) -> None:
        if isinstance(item, spdy.Data):
            if item.stream not in self._refused:
                out += item.part
        elif isinstance(item, spdy.Other) or (port := item.headers.get("port", "")) in self._ports:
            out += item.frame
        else:
            if len(self._refused) >= MOST_STREAMS:
                raise spdy.BadFrame("too many streams to ports that are not allowed")
            if port not in self._told:
                self._told.add(port)
                self._refused_port(port)
            self._refused.add(item.stream)
            self._back += spdy.reset(item.stream)

    async def _down(self, there: ClientWebSocketResponse, here: web.WebSocketResponse) -> None:
        while (message := await there.receive()).type == WSMsgType.BINARY:
            self.size += len(message.data)
            self._bounds.feed(message.data)
            await here.send_bytes(message.data)
            await self._refuse(here)

    def tell(self, text: str) -> None:
        """Do nothing: a forwarded port has no place for messages from Stint."""

    async def cut(self, text: str) -> web.StreamResponse:
        """Drop the connection without waiting for a client that may not read."""
        if self.begun is None:
            raise AssertionError
        await drop(self._asked.request, self.begun, text)
        return self.begun
