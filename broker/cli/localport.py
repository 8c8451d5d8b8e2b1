"""A port on this machine for programs of the same account, whose connections are relayed to a server."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from . import peers

# Bytes that are relayed at once.
_PART = 64 * 1024


@dataclass
class Streams:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class LocalPort:
    """Serves a local port. Subclasses handle its connections."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, port: int) -> asyncio.Server:
        """Listen on a port of 127.0.0.1; 0 for any. Raises OSError."""
        return await asyncio.start_server(self._accept, "127.0.0.1", port)

    async def close(self) -> None:
        """Close all connections."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise AssertionError
        self._open.add(task)
        try:
            await self.handle(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        raise NotImplementedError


def is_own(writer: asyncio.StreamWriter) -> bool:
    """Whether a connection is from a program of this account."""
    peer, here = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    return peers.uid_of(peer, here) == os.getuid()


async def relay(client: Streams, server: Streams) -> None:
    """Relay until one side closes the connection, then close the connection to the server."""
    ways = [asyncio.ensure_future(pump(*pair)) for pair in ((client, server), (server, client))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        server.writer.close()


async def pump(source: Streams, sink: Streams) -> None:
    """Relay one way until the source closes the connection."""
    while part := await source.reader.read(_PART):
        sink.writer.write(part)
        await sink.writer.drain()
