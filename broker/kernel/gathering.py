"""Combines small writes to a connection."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class Writer(Protocol):
    """A transport, or a stream's writer."""

    def write(self, data: bytes) -> object:
        """Send data."""

    def close(self) -> None:
        """Close the connection once everything is sent."""

    def is_closing(self) -> bool:
        """Whether the connection is closed or closing."""


class Gathering:
    """Combines all data that is written in one iteration of the event loop, and sends it at the end of the
    iteration.

    Libraries write each message of a protocol separately, and each write is a system call and, with TLS, a
    record.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._loop = writer, asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._holds = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        """Queue data, to be sent at the end of the iteration."""
        if not self._parts and not self._holds:
            self._loop.call_soon(self.flush)
        self._parts.append(data)

    def send(self, data: bytes) -> None:
        """Send data now, after what is queued."""
        self._parts.append(data)
        self.flush()

    def hold(self) -> None:
        """Queue all data until ``release``, which must follow in this iteration."""
        self._holds = True

    def release(self) -> None:
        """Send the queued data now."""
        self._holds = False
        self.flush()

    def flush(self) -> None:
        """Send the queued data now, unless the connection is closing."""
        parts, self._parts = self._parts, []
        if parts and not self._writer.is_closing():
            self._writer.write(b"".join(parts))

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self.flush()
        self._writer.close()

    def abort(self) -> None:
        """Close the connection immediately. Queued data is sent only if this is possible without waiting."""
        self.flush()
        self._writer.abort()  # type: ignore[attr-defined]  # a transport's
