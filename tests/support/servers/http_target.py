"""An application behind the HTTP gateway. It keeps the requests, and can answer in every way."""

import asyncio
import contextlib
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

from broker.demo.ports import free_port
from tests.support.servers.postgres_server import self_signed
from tests.support.waits import ends, happens

SECRET = "target-secret-0123456789"
PIECE = bytes(64 * 1024)


@dataclass
class Came:
    """One request as received."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for said, value in self.headers if said.lower() == name]
        assert len(found) < 2, found
        return found[0] if found else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Target:
    """The running application. ``said`` overrides the answer at a path, ``late`` delays it by seconds.

    At a path in ``drops`` it closes the connection instead. ``under_way`` counts open responses.
    """

    port: int = field(default_factory=free_port)
    ca: str = ""
    tls: ssl.SSLContext | None = None
    requests: list[Came] = field(default_factory=list)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    under_way: Counter[str] = field(default_factory=Counter)
    heard: list[str | bytes] = field(default_factory=list)
    closed: list[int | None] = field(default_factory=list)
    tokens: int = 0

    def last(self) -> Came:
        return self.requests[-1]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        word = request.path.split("/")[1]
        self.under_way[word] += 1
        try:
            return await getattr(self, f"_{word}", self._prices)(request)
        finally:
            self.under_way[word] -= 1

    async def _keep(self, request: web.BaseRequest) -> Came:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
        came = Came(request.method, request.raw_path, headers, await request.content.read())
        self.requests.append(came)
        return came

    async def _prices(self, request: web.BaseRequest) -> web.StreamResponse:
        came = await self._keep(request)
        await asyncio.sleep(self.late.get(request.path, 0))
        if request.path in self.drops and request.transport is not None:
            request.transport.close()
        instead = self.said.get(request.path)
        if instead is not None and "wire" in instead and request.transport is not None:
            request.transport.write(instead["wire"])
            request.transport.close()
        elif instead is not None:
            return web.Response(**instead)
        account = {"owner": "ada", "iban": "NL00"}
        return web.json_response(
            {"sku": request.path.split("/")[-1], "price": 12, "account": account, "bytes": len(came.body)}
        )

    async def _token(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        self.tokens += 1
        said = {"access_token": f"oauth-token-{self.tokens:04}", "token_type": "Bearer", "expires_in": 3600}
        instead = self.said.get("/token", {})
        if "drip" in instead:
            return await _dripped(request, instead["drip"])
        return (
            web.Response(**instead["whole"])
            if "whole" in instead
            else web.json_response(instead.get("json", said))
        )

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        while True:
            await answer.write(b"data: tick\n\n")
            await asyncio.sleep(0.1)

    async def _flood(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(PIECE)

    async def _download(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        pieces = int(request.query.get("pieces", "1600"))
        answer = web.StreamResponse()
        answer.content_length = pieces * len(PIECE)
        await answer.prepare(request)
        for _ in range(pieces):
            await answer.write(PIECE)
        await answer.write_eof()
        return answer

    async def _slow(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        await asyncio.sleep(float(request.query.get("seconds", "60")))
        return web.Response(text="late")

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        socket = web.WebSocketResponse(protocols=("prices",))
        await socket.prepare(request)
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.heard.append(message.data)
                if message.data == "flood":
                    while True:
                        await socket.send_bytes(PIECE)
                elif message.data == "leak":
                    await socket.close(
                        code=4001, message=f"Bearer%20{quote(SECRET)}".replace("-", "%2d").encode()
                    )
                elif message.data == "bye":
                    await socket.close(code=4001, message=b"enough")
                else:
                    await (socket.send_str if message.type == WSMsgType.TEXT else socket.send_bytes)(
                        message.data
                    )
        self.closed.append(socket.close_code)
        return socket


@contextlib.contextmanager
def http_target(folder: Path | None = None) -> Iterator[Target]:
    """Run the application until the block ends; with TLS given a folder for its key."""
    target, ready, loop = Target(), threading.Event(), asyncio.new_event_loop()
    target.tls = _tls(target, folder) if folder is not None else None

    async def serve() -> None:
        server = web.Server(target.handle, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", target.port, ssl_context=target.tls).start()
        ready.set()

    def run() -> None:
        # Run once, so that a stop during startup is not lost.
        starting = loop.create_task(serve())
        loop.run_forever()
        assert starting.done()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    happens(ready)
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(loop.stop)
        ends(thread)


async def _dripped(request: web.BaseRequest, every: float) -> web.StreamResponse:
    """Return an endless response that sends a byte now and then."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await asyncio.sleep(every)


def _tls(target: Target, folder: Path) -> ssl.SSLContext:
    key, target.ca = self_signed("127.0.0.1")
    folder.mkdir(exist_ok=True)
    (folder / "key.pem").write_text(key)
    (folder / "certificate.pem").write_text(target.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
