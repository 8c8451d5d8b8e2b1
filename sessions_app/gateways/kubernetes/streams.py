"""Relay the streams of a command in a container, or of an attach, channel by channel between two WebSockets.

Source: the protocols v4 and v5.channel.k8s.io (k8s.io/apimachinery, pkg/util/remotecommand).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType, web

from sessions_app.connectors.kubernetes.remote import (
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    V4,
    V5,
    exit_code,
    status_of,
)
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.live import Live
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.sockets import GOODBYE_S, drop, protocols_of, say_goodbye
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.status import NotMade, status
from sessions_app.gateways.kubernetes.upstream import LARGEST_MESSAGE, Upstream
from sessions_app.operations.sessions.proofs.kubernetes import KubernetesUse
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest

# Newest first. Since v5, a client can close its input.
PROTOCOLS = [V5, V4]
BEAT_S = 30.0


class Streams:
    """One allowed exec or attach.

    ``begun`` is the client's WebSocket once it is open. ``sent`` means that the API server may have started
    the command. ``exit_status`` is the command's exit status, or None if it is unknown; ``fault`` is then the
    reason that the API server gave. ``given_up`` means that the client disconnected first.
    """

    def __init__(
        self,
        upstream: Upstream,
        asked: Asked,
        use: KubernetesUse,
        request: KubeRequest,
        recorder: Recorder | None,
        *,
        agent: str,
    ) -> None:
        """``request`` is the decided request. No other query parameter is sent, and input only on the
        channels that it opens.
        """
        self._upstream, self._asked, self._use, self._request = upstream, asked, use, request
        self._target = stream_target(request, request.values("command"))
        self._taken = channels(request)
        self._live, self._agent = Live(recorder, self._unrecorded), agent
        self.begun: web.WebSocketResponse | None = None
        self.sent = self.given_up = False
        self.exit_status: int | None = None
        self.fault = ""

    async def run(self) -> web.StreamResponse:
        """Open both sides and relay data until one ends. Raises NotMade, NotReached or ConnectionError."""
        offered = [one for one in protocols_of(self._asked.request) if one in PROTOCOLS]
        if not offered:
            raise NotMade(403, f"The supported protocols are {' and '.join(PROTOCOLS)}.")
        self.sent = True
        opened = self._upstream.websocket(self._use, self._target, {"User-Agent": self._agent}, PROTOCOLS)
        try:
            async with opened as there:
                here = self.begun = await accept(self._asked, offered)
                await self._pass(here, there)
                await say_goodbye(here, 1000, b"")
                return here
        except NotReached as error:
            self.sent = error.sent
            raise
        finally:
            self._live.stop()

    async def _pass(self, here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
        up = asyncio.create_task(self._up(here, there))
        down = asyncio.create_task(self._down(there, here))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            self.given_up = not down.done()
        finally:
            for way in (up, down):
                way.cancel()
            ends = await asyncio.gather(up, down, return_exceptions=True)
        faults = [one for one in ends if isinstance(one, Exception) and not isinstance(one, ConnectionError)]
        if faults:
            raise faults[0]

    async def _up(self, here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
        """Relay the client's input until it disconnects."""
        while (data := _bytes_in(await here.receive())) is not None:
            if not data:
                continue
            if data[0] == CLOSE and there.protocol != PROTOCOLS[0]:
                # An older API server has no message for the end of input.
                continue
            if data[0] in self._taken:
                if data[0] == RESIZE:
                    self._live.resize(*size_in(data[1:]))
                await there.send_bytes(data)

    async def _down(self, there: ClientWebSocketResponse, here: web.WebSocketResponse) -> None:
        """Relay the output until the API server ends it."""
        while (data := _bytes_in(await there.receive())) is not None:
            if not data:
                continue
            if data[0] == ERROR:
                self._judge(data[1:])
            elif data[0] in (STDOUT, STDERR):
                self._live.add(data[1:], error=data[0] == STDERR)
            await here.send_bytes(data)

    def _judge(self, said: bytes) -> None:
        self.exit_status, self.fault = outcome_in(said)

    @property
    def record_error(self) -> OSError | None:
        """The error that prevented recording the output, if any."""
        return self._live.error

    def _unrecorded(self) -> None:
        if self._asked.request.transport is not None:
            self._asked.request.transport.abort()

    def tell(self, text: str) -> None:
        """Show a line to the holder, among the command's errors."""
        place = place_of_words(self._request)
        if place is not None and self.begun is not None and not self.begun.closed:
            _behind(self.begun.send_bytes(bytes([place]) + f"[stint] {text}\r\n".encode()))

    async def cut(self, text: str) -> web.StreamResponse:
        """Send the reason, and drop the connection without waiting for a client that may not read."""
        if self.begun is None:
            raise AssertionError
        if text:
            try:
                async with asyncio.timeout(GOODBYE_S / 2):
                    await self.begun.send_bytes(bytes([ERROR]) + json.dumps(status(403, text)).encode())
            except (TimeoutError, ConnectionError, RuntimeError):
                pass
        await drop(self._asked.request, self.begun, text)
        return self.begun


def stream_target(request: KubeRequest, argv: Iterable[str]) -> str:
    """Return the path and query of an exec or attach that runs these arguments, built from the decided
    request.
    """
    pairs = [("container", request.value("container"))]
    pairs += [(key, "true") for key in ("stdin", "stdout", "stderr", "tty") if request.flag(key)]
    return f"{request.path}?{urlencode([*pairs, *(('command', word) for word in argv)], quote_via=quote)}"


def channels(request: KubeRequest) -> frozenset[int]:
    """Return the channels that a client may write to."""
    taken = (STDIN, CLOSE) if request.flag("stdin") else ()
    return frozenset((*taken, *((RESIZE,) if request.flag("tty") else ())))


def place_of_words(request: KubeRequest) -> int | None:
    """Return the channel for messages from Stint; None if the request opens none.

    With a terminal, kubectl opens no channel for errors.
    """
    return STDERR if request.flag("stderr") else STDOUT if request.flag("stdout") else None


_told: set[asyncio.Task[None]] = set()


def _behind(work: Any) -> None:
    """Start to send a message, without waiting until it is sent."""
    task = asyncio.ensure_future(work)
    _told.add(task)
    task.add_done_callback(_told.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


async def accept(asked: Asked, protocols: list[str]) -> web.WebSocketResponse:
    """Accept a client's WebSocket in the first of these protocols that it offers."""
    here = web.WebSocketResponse(
        protocols=protocols,
        heartbeat=BEAT_S,
        compress=False,
        autoclose=False,
        timeout=GOODBYE_S,
        max_msg_size=LARGEST_MESSAGE,
    )
    await here.prepare(asked.request)
    return here


def _bytes_in(message: WSMessage) -> bytes | None:
    """Return a message's data; None once its sender has ended. Text is not part of these protocols, and is
    dropped.
    """
    if message.type == WSMsgType.BINARY:
        return bytes(message.data)
    return b"" if message.type == WSMsgType.TEXT else None


def size_in(said: bytes) -> tuple[int, int]:
    """Return the columns and rows in a client's message about its terminal; zeros if it has none."""
    try:
        told = json.loads(said)
        return int(told["Width"]), int(told["Height"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0, 0


def outcome_in(said: bytes) -> tuple[int | None, str]:
    """Return the exit status in an API server's last message, or None and the reason why there is none."""
    return outcome_of(status_of(said) or {})


def outcome_of(told: dict[str, Any]) -> tuple[int | None, str]:
    """Return the exit status in a Status, or None and the reason why there is none."""
    code = exit_code(told)
    return code, "" if code is not None else str(told.get("message") or "the API server gave no reason")[:500]
