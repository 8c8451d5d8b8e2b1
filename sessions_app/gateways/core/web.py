"""The TLS listener that all web gateways share. It only finds the site for a request, and has no part in the
site's own task.

Unauthenticated clients can open few connections, and each grant has a share of all connections (``Limits``).
A site that has accepted a request's token calls ``proven``. From then on, the connection counts for the
token's grant, and is closed after the first request without a valid token.

Sources: RFC 9112 (HTTP/1.1), RFC 9457 (problem details).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader

from broker.kernel import request_id
from broker.kernel.problems import CONTENT_TYPE, problem
from broker.kernel.tracing import span_in
from sessions_app.gateways.core.arrivals import LIMITS, Arrivals, Limits, Slot
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.core.tls import Tls
from sessions_app.operations.sessions.authorize_use import AnyUse, life_of_use

log = structlog.get_logger(__name__)

HEALTH = "/healthz"
HEAD_BYTES = 32 * 1024
# Seconds: for a request's head, between two requests, and for running requests at shutdown.
HEAD_S, IDLE_S, LEAVE_S = 10.0, 75.0, 0.2
# For this many seconds, a refused body is still read and discarded: a client that is still sending would
# otherwise get a reset instead of the refusal. Source: RFC 9112 §9.6.
LINGER_S = 5.0
_LISTEN_BACKLOG = 512
# A name or an address, and a port. Source: RFC 9110 §7.2.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_HTTP: dict[str, Any] = {
    "max_line_size": HEAD_BYTES,
    "max_field_size": HEAD_BYTES,
    "max_headers": 100,
    "keepalive_timeout": IDLE_S,
    "lingering_time": LINGER_S,
    "auto_decompress": False,
    "access_log": None,
}


class Site(Protocol):
    """One web gateway. Requests are routed by their first path segment, or by its public host name."""

    async def open(self, shared: Shared) -> None:
        """Prepare for requests.

        Raises StintError for invalid settings, and Unavailable without a database.
        """

    async def close(self) -> None:
        """Release everything. No more requests come."""

    def claims(self, host: str) -> bool:
        """Whether all requests to this public host name belong to this site.

        ``host`` is in lowercase, without a port.
        """

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. The task is canceled when the client disconnects."""


class Web:
    """The endpoint of all web gateways."""

    name = "web"

    def __init__(self, options: WebOptions, sites: Mapping[str, Site], limits: Limits = LIMITS) -> None:
        """``sites`` maps first path segments to sites."""
        self._options, self._sites, self._limits = options, sites, limits
        self._opened: list[Site] = []
        self._server: web.Server | None = None
        self._arrivals: Arrivals | None = None
        self._listener: asyncio.Server | None = None

    async def open(self, shared: Shared) -> None:
        """Open the sites, then start to listen. Raises the sites' errors, GatewaySettings, and OSError."""
        tls = await Tls.begin(self._options, shared, claims=self._claims)
        for site in self._sites.values():
            await site.open(shared)
            self._opened.append(site)
        loop = asyncio.get_running_loop()
        self._server = server = web.Server(self._answer, request_factory=_request, handler_cancellation=True)
        self._arrivals = Arrivals(
            tls.context, self._limits, lambda place: _Connection(place, server, loop=loop, **_HTTP)
        )
        self._listener = await loop.create_server(
            self._arrivals.protocol,
            self._options.host,
            self._options.port,
            backlog=_LISTEN_BACKLOG,
            reuse_address=True,
        )
        shared.node.keep(tls.keep(), "tls")
        await shared.node.lease.renew()
        log.info("web.listens", host=self._options.host, port=self._options.port, sites=list(self._sites))

    def drain(self) -> None:
        """Accept no new connections."""
        if self._listener is not None:
            self._listener.close()

    async def close(self) -> None:
        """Stop listening immediately, drop every connection, and close the sites."""
        self.drain()
        if self._arrivals is not None:
            self._arrivals.close()
        if self._server is not None:
            # Idle connections are closed first, because they need no time.
            self._server.pre_shutdown()
            await self._server.shutdown(LEAVE_S)
        for site in self._opened:
            await site.close()

    def _claims(self, host: str) -> bool:
        return any(site.claims(host) for site in self._sites.values())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        try:
            with request_id.bound(request[_ID]), ExitStack() as spans:
                request[_SPANS] = spans
                answer = _refusal(request) or await self._of_site(request)
            if isinstance(connection, _Connection) and connection.unearned:
                answer.force_close()
            return answer
        finally:
            if isinstance(connection, _Connection):
                connection.answered()

    async def _of_site(self, request: web.BaseRequest) -> web.StreamResponse:
        host = _host_name(request)
        for site in self._sites.values():
            if site.claims(host):
                return await site.handle(request)
        path = request.raw_path.partition("?")[0]
        if path == HEALTH:
            return web.Response(text="ok\n")
        found = self._sites.get(path.split("/", 2)[1])
        if found is None:
            return _problem(404, "not_found", "There is no gateway at this address.")
        return await found.handle(request)


def proven(request: web.BaseRequest, use: AnyUse) -> None:
    """Record that the client of a request has presented a valid token of a grant, and begin the request's
    span.

    Raises ShareTaken if the grant already has too many connections.
    """
    request[_SPANS].enter_context(span_in(life_of_use(use), "stint.command", method=request.method))
    if isinstance(request.protocol, _Connection):
        request.protocol.proven(use.grant_id)


# The keys under which a request stores its ID, and the contexts that end with the request.
_ID = web.RequestKey("request_id", str)
_SPANS = web.RequestKey("spans", ExitStack)


class _Connection(web.RequestHandler):
    """One client's connection. It is closed if the head of a request takes too long."""

    def __init__(self, place: Slot, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._place = place
        self._head: asyncio.TimerHandle | None = None
        self._answering = False
        self._ever_proven = self._proven = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._answering:
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._place.leave()
        self._head_is_here()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond with a problem that contains nothing from the request.

        Errors that clients can cause are not logged.

        Raises ConnectionError if part of the response was already sent.
        """
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("web.site_failed", error=type(exc).__name__, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has already started.")
        code = "bad_request" if status == HTTPStatus.BAD_REQUEST else "failed"
        return _problem(status, code, HTTPStatus(status).phrase)

    def proven(self, grant_id: int) -> None:
        """Record that the client has presented a valid token of a grant. Safe to repeat.

        Raises ShareTaken.
        """
        self._place.proven(grant_id)
        self._ever_proven = self._proven = True

    @property
    def unearned(self) -> bool:
        """Whether the connection counts for a grant, but its last request had no valid token.

        In that case, the client may no longer have one.
        """
        return self._ever_proven and not self._proven

    def begins(self) -> None:
        """Record that a request's head has arrived."""
        self._head_is_here()
        self._answering, self._proven = True, False

    def answered(self) -> None:
        """Record that the request was handled, so that the next one can be read."""
        self._answering = False

    def _await_head(self) -> None:
        if self._head is None:
            self._head = asyncio.get_running_loop().call_later(HEAD_S, self.force_close)

    def _head_is_here(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class _Request(web.BaseRequest):
    """A request whose response never names the gateway's libraries or their versions."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = "Stint"
        # A target may set its own request ID.
        response.headers.setdefault(request_id.HEADER, self[_ID])


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    if isinstance(protocol, _Connection):
        protocol.begins()
    request = _Request(message, payload, protocol, writer, task, asyncio.get_running_loop())
    request[_ID] = request_id.make()
    return request


def _refusal(request: web.BaseRequest) -> web.Response | None:
    """Return why the request must not reach a site; None if it may."""
    if request.version != HttpVersion11:
        return _problem(505, "version_not_supported", "This gateway requires HTTP/1.1.")
    if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES:
        return _problem(431, "head_too_large", "The head of the request is too large.")
    hosts = request.headers.getall(hdrs.HOST, ())
    if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None or not request.raw_path.startswith("/"):
        return _problem(400, "bad_request", "A request must have one Host header and a path.")
    return None


def _host_name(request: web.BaseRequest) -> str:
    """Return the host name of a request, in lowercase and without its port."""
    host = request.headers[hdrs.HOST].lower()
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


def _problem(status: int, code: str, title: str) -> web.Response:
    """Return a problem response. The response closes the connection, because the request body
    may be unread.
    """
    answer = web.json_response(
        problem(status=status, code=code, title=title), status=status, content_type=CONTENT_TYPE
    )
    answer.force_close()
    return answer
