"""A proxy in front of an API server that records the requests, which a real one does not report."""

import asyncio
import contextlib
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.servers.kubernetes.server import Call
from tests.support.servers.kubernetes.tls import authority
from tests.support.waits import PATIENCE


@dataclass
class Recorder:
    """A proxy to the API server at an address, while it is entered, with its own certificate and port."""

    address: str
    port_behind: int
    ca_behind: str
    folder: Path
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.ca, self._context = authority(self.folder, "recorder")
        self._behind = ssl.create_default_context(cadata=self.ca_behind)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop, self._ready = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """Break every open connection."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    def _run(self) -> None:
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        server = self._loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            answers, requests = await asyncio.open_connection(
                self.address, self.port_behind, ssl=self._behind
            )
            with contextlib.closing(requests):
                back = asyncio.ensure_future(_pump(answers, writer))
                while not await self._request(reader, requests):
                    pass
                await asyncio.wait(
                    [back, asyncio.ensure_future(_pump(reader, requests))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        self._writers.discard(writer)

    async def _request(self, reader: asyncio.StreamReader, requests: asyncio.StreamWriter) -> bool:
        """Pass one request on. Return whether it upgrades the connection to another protocol."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        method, path, _ = first.split(" ")
        self.calls.append(Call(method, path, 0, fields.get("content-type", ""), body))
        requests.write(head + body)
        await requests.drain()
        return "upgrade" in fields


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
