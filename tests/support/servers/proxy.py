"""A connection to PostgreSQL that can be frozen, like a broken network, or refused, as during a restart."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.support.waits import PATIENCE

SOCKET = ".s.PGSQL.5432"


class BlackHole:
    """Listens at one address and passes everything on to another, unless it is frozen.

    An address is the path of a socket, or a port of loopback.
    """

    def __init__(self, at: Path | int, behind: Path | int) -> None:
        self._at, self._behind = at, behind
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def freeze(self) -> None:
        """Pass nothing on anymore, and close nothing."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def thaw(self) -> None:
        """Pass everything on again, including what was held back."""
        self._loop.call_soon_threadsafe(self._open.set)

    def refuse(self) -> None:
        """Cut every connection, and accept no new one."""
        self._refuses = True
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    def take(self) -> None:
        """Accept connections again."""
        self._refuses = False

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        # Connections close in the loop's next turn; left open, they would keep the database in use.
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        if isinstance(self._at, int):
            return await asyncio.start_server(self._serve, "127.0.0.1", self._at)
        return await asyncio.start_unix_server(self._serve, str(self._at))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._behind, int):
            return await asyncio.open_connection("127.0.0.1", self._behind)
        return await asyncio.open_unix_connection(str(self._behind))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            if self._refuses:
                return
            self._writers.add(writer)
            await self._open.wait()
            upstream, downstream = await self._connect()
            pumps = [
                asyncio.ensure_future(self._pump(reader, downstream)),
                asyncio.ensure_future(self._pump(upstream, writer)),
            ]
            with contextlib.closing(downstream):
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def black_hole(folder: Path, url: str) -> Iterator[tuple[BlackHole, str]]:
    """Yield a breakable connection to the database of a DATABASE_URL, and the URL that uses it."""
    real = Path(parse_qs(urlsplit(url).query)["host"][0])
    folder.mkdir(exist_ok=True)
    (folder / SOCKET).unlink(missing_ok=True)
    through = url.replace(str(real), str(folder)).replace(str(real).replace("/", "%2F"), str(folder))
    with BlackHole(folder / SOCKET, real / SOCKET) as way:
        yield way, through
