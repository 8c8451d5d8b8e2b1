"""Streams whose data can be handled at the moment it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

from broker.kernel.receiving import receive_buffer


class Pushing(asyncio.StreamReader):
    """A stream that can pass on its data at the moment it arrives, so that no task has to wake up for it."""

    _take: Callable[[Any], None] | None = None

    def push(self, take: Callable[[Any], None] | None) -> bool:
        """Call ``take`` with all data that arrives, and with none at the end of the stream; None stops this.
        The data is valid only during the call.

        Return False, and change nothing, if there is something to read first.
        """
        if take is not None and (self._buffer or self._eof or self.exception()):  # type: ignore[attr-defined]
            return False
        self._take = take
        return True

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if self._take is None:
            super().feed_data(data)
        else:
            self._take(data)

    def feed_eof(self) -> None:
        super().feed_eof()
        self._ended()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._ended()

    def _ended(self) -> None:
        if self._take is not None:
            self._take(b"")


class Receiving(asyncio.BufferedProtocol):
    """The protocol of a connection whose data is read from ``reader``."""

    def __init__(
        self,
        reader: Pushing,
        begun: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None] | None = None,
    ) -> None:
        """``begun`` is called once the connection is open."""
        self._reader, self._streams = reader, asyncio.StreamReaderProtocol(reader, begun)
        # Without it, TLS would allocate 256 KiB for each message.
        self._buffer = receive_buffer()

    def writing(self, transport: asyncio.WriteTransport) -> asyncio.StreamWriter:
        """Return the stream to the other side."""
        return asyncio.StreamWriter(transport, self._streams, self._reader, asyncio.get_running_loop())

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.feed_data(self._buffer[:nbytes])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._streams.connection_made(transport)

    def eof_received(self) -> bool | None:
        return self._streams.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.connection_lost(exc)

    def pause_writing(self) -> None:
        self._streams.pause_writing()

    def resume_writing(self) -> None:
        self._streams.resume_writing()
