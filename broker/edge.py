"""The outermost layer of the web process, which gives each request an ID and measures its duration.

Source: PEP 3333, ASGI 3.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from broker.kernel import request_id, tracing
from broker.kernel.metrics import REQUESTS

Environ = dict[str, Any]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
# The key in the WSGI environ for the URL pattern of the request, once the pattern is resolved.
ROUTE = "stint.route"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# Paths that are answered before Django resolves a URL pattern. Probes and scrapes are not measured.
_BEFORE_DJANGO = ("/authz/kubernetes", "/authz/", "/access/v1/", "/static/")
_NOT_MEASURED = frozenset(("/healthz", "/readyz", "/metrics"))


class Edge:
    """A WSGI layer that passes every request to ``inner``, the application."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request, with the request's ID in the response. A well-formed ID from a trusted proxy is
        kept; otherwise the ID is new.
        """
        said = environ.get("HTTP_X_REQUEST_ID", "") if settings.BEHIND_PROXY else ""
        id_ = request_id.taken(said)
        began, status = time.perf_counter(), "5xx"

        def start_with_id(line: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            nonlocal status
            status = f"{line[0]}xx"
            # If a proxy requests a decision, the response already has the ID that the proxy sent.
            if not any(name.lower() == request_id.HEADER.lower() for name, _ in headers):
                headers = [*headers, (request_id.HEADER, id_)]
            return start(line, headers, *more)

        parent = environ.get("HTTP_TRACEPARENT", "") if settings.BEHIND_PROXY else ""
        with request_id.bound(id_), tracing.span("stint.http", parent, method=environ["REQUEST_METHOD"]):
            try:
                answer: Iterable[bytes] = self.inner(environ, start_with_id)
                return answer
            finally:
                _measure(environ, status, time.perf_counter() - began)


async def at_edge(inner: Any, scope: Scope, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
    """Give an ASGI request an ID, as ``Edge`` does, and add the ID to the response."""
    given = (
        dict(scope["headers"]).get(request_id.HEADER.lower().encode(), b"") if settings.BEHIND_PROXY else b""
    )
    id_ = request_id.taken(given.decode("latin-1"))

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (request_id.HEADER.lower().encode(), id_.encode())]
            message = {**message, "headers": headers}
        await send(message)

    with request_id.bound(id_), tracing.span("stint.http", method=scope.get("method", "")):
        await inner(scope, receive, send_with_id)


class RouteMiddleware:
    """Stores the URL pattern, so that requests are counted by pattern and not by object."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        if request.resolver_match is not None:
            request.META[ROUTE] = f"/{request.resolver_match.route}"
        return answer


def _measure(environ: Environ, status: str, seconds: float) -> None:
    path = environ.get("PATH_INFO", "")
    if path in _NOT_MEASURED:
        return
    method = environ["REQUEST_METHOD"]
    REQUESTS.labels(method if method in _METHODS else "other", _route(environ, path), status).observe(seconds)


def _route(environ: Environ, path: str) -> str:
    known: str | None = environ.get(ROUTE)
    return known or next((one for one in _BEFORE_DJANGO if path.startswith(one)), "none")
