"""The server side of a WebSocket (RFC 6455) over TLS, which one thread reads while others write."""

import base64
import contextlib
import hashlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


def accept_of(key: str) -> str:
    """Return the response to a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()


class Wire:
    """A TLS connection for several threads: OpenSSL allows one at a time, so none waits while it holds the
    lock.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.setblocking(False)
        self._connection, self._lock, self._writing = connection, threading.Lock(), threading.Lock()
        self.ends = float("inf")

    def read(self) -> bytes:
        """Return incoming data; nothing once the peer has disconnected, or after `ends` (of the monotonic
        clock).
        """
        while time.monotonic() < self.ends:
            with self._lock:
                try:
                    return self._connection.recv(65536)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:
                    return b""
            self._wait(select.POLLIN)
        return b""

    def write(self, data: bytes) -> None:
        """Send all of it. Raises OSError if the peer has disconnected."""
        left = memoryview(data)
        with self._writing:
            while left:
                with self._lock:
                    try:
                        sent = self._connection.send(left)
                    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                        sent = 0
                left = left[sent:]
                if not sent:
                    self._wait(select.POLLOUT)

    def _wait(self, events: int) -> None:
        poll = select.poll()
        number = self._connection.fileno()
        if number < 0:
            raise ConnectionResetError
        poll.register(number, events)
        poll.poll(500)

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


class WebSocket:
    """Messages in and out. Pings are answered; a broken connection counts as a closed one."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self._kept, self._closing = wire, b"", False

    def messages(self) -> Iterator[bytes]:
        """Yield each whole message until the peer closes."""
        message = b""
        while (frame := self._frame()) is not None:
            last, opcode, data = frame
            if opcode == CLOSE:
                self.close()
                return
            if opcode == PING:
                self.send(data, PONG)
            if opcode < CLOSE:
                message += data
                if last:
                    yield message
                    message = b""

    def _frame(self) -> tuple[bool, int, bytes] | None:
        head = self._take(2)
        size = head[1] & 127 if head else 0
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8) or b"")
        mask, data = self._take(4), self._take(size)
        if not head or mask is None or data is None:
            return None
        return bool(head[0] & 128), head[0] & 15, _unmasked(data, mask)

    def _take(self, size: int) -> bytes | None:
        while len(self._kept) < size:
            more = self.wire.read()
            if not more:
                return None
            self._kept += more
        taken, self._kept = self._kept[:size], self._kept[size:]
        return taken

    def send(self, data: bytes, opcode: int = BINARY) -> None:
        """Send one message. Raises OSError if the peer has disconnected."""
        size = len(data)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + size.to_bytes(2)
            if size < 65536
            else b"\x7f" + size.to_bytes(8)
        )
        self.wire.write(bytes([128 | opcode]) + length + data)

    def close(self, code: int = 1000) -> None:
        """Send a close frame, once, and give the peer a moment to answer."""
        if not self._closing:
            self._closing, self.wire.ends = True, time.monotonic() + 2
            with contextlib.suppress(OSError):
                self.send(code.to_bytes(2), CLOSE)


def _unmasked(data: bytes, mask: bytes) -> bytes:
    pad = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(len(data))
