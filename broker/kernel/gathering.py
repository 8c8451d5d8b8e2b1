"""Fewer and larger writes to a connection."""

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
    """Sends everything that is written in one turn of the event loop at once. Everything else goes to the
    writer.

    Libraries write each message of a protocol separately, and each write is a system call and, with TLS, a
    record.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._loop = writer, asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        """Send data after this turn."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Send now what was written, unless the connection is closing."""
        parts, self._parts = self._parts, []
        if parts and not self._writer.is_closing():
            self._writer.write(b"".join(parts))

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self.flush()
        self._writer.close()

    def abort(self) -> None:
        """Close the connection immediately. What was written before is sent if that is possible now."""
        self.flush()
        self._writer.abort()  # type: ignore[attr-defined]  # a transport's
