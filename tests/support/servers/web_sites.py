"""The TLS listener of the web gateways with a test site, and clients that send raw bytes."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from broker.demo.ports import free_port
from broker.kernel.errors import StintError
from sessions_app.gateways.core.arrivals import LIMITS, Limits
from sessions_app.gateways.core.attempts import tries_of
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.holds import Holds
from sessions_app.gateways.core.lease import Known
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.core.web import LEAVE_S, Site, Web, proven
from tests.support.world.holders import passes


@dataclass
class Echo:
    """A site that answers with the request that it received.

    `/…/wait` never ends, `/…/unread` leaves the body unread, `/…/fails` fails, and `/…/proven/1` treats its
    client as authenticated by a token of the grant with this id.
    """

    hosts: frozenset[str] = frozenset()
    events: list[str] = field(default_factory=list)

    async def open(self, shared: Shared) -> None:
        self.events.append(f"open {shared.name}")

    async def close(self) -> None:
        self.events.append("close")

    def claims(self, host: str) -> bool:
        return host in self.hosts

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.events.append(f"{request.method} {request.raw_path}")
        if request.raw_path.endswith("/fails"):
            raise RuntimeError("a secret of the site")
        _, found, grant_id = request.raw_path.partition("/proven/")
        if found:
            try:
                used: Any = SimpleNamespace(grant_id=int(grant_id), grant_ref="GR-TEST", request_id=1)
                proven(request, used)
            except StintError as error:
                return web.Response(status=error.status, text=f"{error.message} {error.hint}")
        if request.raw_path.endswith("/wait"):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.events.append("canceled")
                raise
        body = b"" if request.raw_path.endswith("/unread") else await request.content.read()
        return web.Response(body=f"{request.method} {request.raw_path} ".encode() + body)


@dataclass
class Listening:
    """A listener, its endpoints' shared services, and the certificate authorities that its clients trust."""

    web: Web
    shared: Shared
    options: WebOptions
    ca: str

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    async def connect(
        self, host: str | None = "localhost", context: ssl.SSLContext | None = None, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect by TLS from an address of this machine, and verify the certificate for a host name."""
        return await asyncio.open_connection(
            "127.0.0.1",
            self.options.port,
            ssl=context or self.context(),
            server_hostname=host,
            local_addr=(source, 0),
        )

    async def says(self, raw: bytes, host: str = "localhost") -> bytes:
        """Send bytes, and return all output until the listener closes the connection."""
        reader, writer = await self.connect(host)
        writer.write(raw)
        try:
            return await reader.read()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def listening(
    sites: Mapping[str, Site], *, limits: Limits = LIMITS, **changes: Any
) -> AsyncIterator[Listening]:
    """Yield a listener on a free port, with its own node."""
    from sessions_app.queries.gateways.keys import gateway_bundle

    database = Database(threads=2, name="web")
    node = await Node.begin(Known(name="web-1", version="1"), database=database)
    shared = Shared(database, node, Holds(), "web-1", closed_because=str, tries=tries_of(database))
    port = free_port()
    options = WebOptions(host="127.0.0.1", port=port, url=f"https://gateway.test:{port}")
    options = replace(options, **changes)
    endpoint = Web(options, sites, limits)
    try:
        await endpoint.open(shared)
        yield Listening(endpoint, shared, options, await database.run(gateway_bundle))
    finally:
        closing = asyncio.ensure_future(endpoint.close())
        while not closing.done():
            # Connections that a test left open are dropped after a while, which a loop with frozen time never
            # reaches.
            await passes(LEAVE_S)
        await closing
        await node.close("the test is over")
        await node.leave()
        database.stop()
