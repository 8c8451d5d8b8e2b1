"""Relay bytes between this process's standard streams and a TCP connection."""

from __future__ import annotations

import contextlib
import os
import select
import socket

from .errors import Unreachable

_CONNECT = 15.0
_PART = 256 * 1024


def connect(host: str, port: int) -> socket.socket:
    """Connect to a gateway. Raises Unreachable."""
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECT)
    except OSError as error:
        raise Unreachable(
            f"The gateway at {host}:{port} did not respond: {error.strerror or error}."
        ) from None
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def relay(connection: socket.socket, source: int = 0, sink: int = 1) -> None:
    """Relay until the other side closes the connection. ``source`` and ``sink`` are file descriptors."""
    sources: list[socket.socket | int] = [connection, source]
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        while True:
            ready = select.select(sources, [], [])[0]
            if source in ready:
                part = os.read(source, _PART)
                connection.sendall(part)
                if not part:
                    sources.remove(source)
                    connection.shutdown(socket.SHUT_WR)
            if connection in ready:
                part = connection.recv(_PART)
                if not part:
                    return
                _write(sink, part)


def _write(sink: int, part: bytes) -> None:
    while part:
        part = part[os.write(sink, part) :]
