"""Read the messages of PostgreSQL clients before TLS, and provide the streams of a connection after TLS.

Source: PostgreSQL's documentation, "SSL Session Encryption", "GSSAPI Session Encryption" and "Canceling
Requests in Progress".
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sessions_app.gateways.core.arrivals import Serve, Slot
from sessions_app.gateways.core.tls import POSTGRESQL
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.streams import Pushing, Receiving

# The first byte of a TLS record with a handshake, in clients that start with TLS.
_HANDSHAKE = 0x16
_HEAD, _CANCEL = 8, 16
# Requests before TLS: at most one for GSSAPI, then one for TLS.
_REQUESTS = 2
# Seconds between checks of a request that has arrived only in part.
_AGAIN_S = 0.01
# Bytes to read ahead while the client's earlier messages are processed.
AHEAD = 256 * 1024
NO_TLS = wire.error(
    "28000",
    "This gateway requires TLS.",
    severity="FATAL",
    hint="Connect with sslmode=verify-full and the gateway's CA certificate as sslrootcert.",
)


class Line(Receiving):
    """One client's connection after its TLS handshake. It frees the slot when it ends."""

    writer: asyncio.StreamWriter

    def __init__(
        self, place: Slot, serve: Callable[[Line], Coroutine[Any, Any, None]], *, direct: bool
    ) -> None:
        """``direct`` means that the client started with TLS, so it must have named this protocol in the
        handshake.
        """
        self.messages = Pushing(limit=AHEAD)
        super().__init__(self.messages, self._begun)
        self.place, self._serve, self._direct = place, serve, direct
        self.gone = False
        # Called once, when the client has disconnected.
        self.on_gone: Callable[[], object] = _nothing

    def _begun(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.writer = writer
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        if self._direct and chosen != POSTGRESQL:
            # The client may expect a server for another protocol.
            self.abort()
            return
        # The event loop keeps only weak references to tasks.
        self._serving = asyncio.create_task(self._serve(self))

    @property
    def address(self) -> str:
        """The client's address."""
        return str((self.writer.get_extra_info("peername") or ("",))[0])

    def eof_received(self) -> bool | None:
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.place.leave()
        self._leave()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection immediately."""
        cast("asyncio.Transport", self.writer.transport).abort()

    def _leave(self) -> None:
        if not self.gone:
            self.gone = True
            self.on_gone()


class Greeting:
    """Reads the messages of a client before TLS."""

    def __init__(
        self, serve: Callable[[Line], Coroutine[Any, Any, None]], cancel: Callable[[bytes], None]
    ) -> None:
        """``serve`` serves a connection. ``cancel`` gets the key of each CancelRequest."""
        self._serve, self._cancel = serve, cancel

    async def __call__(self, sock: socket.socket) -> Serve | None:
        """Return the protocol for the connection after TLS; None if no handshake follows. Raises OSError."""
        for _ in range(_REQUESTS):
            head = await _peek(sock)
            if head[0] == _HANDSHAKE:
                return lambda place: Line(place, self._serve, direct=True)
            length, code = struct.unpack("!II", head)
            if code == wire.CANCEL_REQUEST and length == _CANCEL:
                self._cancel((await _taken(sock, _CANCEL))[_HEAD:])
                return None
            if length != _HEAD:
                await _say(sock, NO_TLS)
                return None
            await _taken(sock, _HEAD)
            if code == wire.SSL_REQUEST:
                await _say(sock, b"S")
                return lambda place: Line(place, self._serve, direct=False)
            await _say(sock, b"N")
        return None


async def _say(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _peek(sock: socket.socket) -> bytes:
    """Return the first bytes without taking them, since they may belong to TLS. Raises OSError."""
    while True:
        try:
            data = sock.recv(_HEAD, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(sock)
            continue
        if not data:
            raise ConnectionResetError
        if data[0] == _HANDSHAKE or len(data) == _HEAD:
            return data
        await asyncio.sleep(_AGAIN_S)


async def _taken(sock: socket.socket, count: int) -> bytes:
    data, loop = b"", asyncio.get_running_loop()
    while len(data) < count:
        piece = await loop.sock_recv(sock, count - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


async def _readable(sock: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock.fileno())


def _nothing() -> None:
    """Do nothing, because no one serves the connection yet."""
