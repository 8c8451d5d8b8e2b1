"""The ASGI application.

It selects the server and the protocol version, and responds to requests that are not about tools.

Source: Model Context Protocol 2026-07-28 and 2025-11-25; RFC 9728 (protected resource metadata).
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import structlog
from django.conf import settings

from broker.kernel.errors import StintError, Unavailable
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.mcp import wire
from sessions_app.gateways.mcp.answers import Answer, Send
from sessions_app.gateways.mcp.asked import (
    CALLS,
    SUPPORTED,
    Asked,
    Receive,
    Rejected,
    Scope,
    asked_of,
    body_of,
    headers_of,
)
from sessions_app.gateways.mcp.cluster import ClusterService
from sessions_app.gateways.mcp.handshake import Handshakes
from sessions_app.gateways.mcp.own import OwnService
from sessions_app.gateways.mcp.server import Over
from sessions_app.gateways.mcp.service import Caller, Service
from sessions_app.gateways.mcp.uses import Uses

log = structlog.get_logger(__name__)

_PATH = re.compile(r"/mcp(?:/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?))?")
_METADATA = "/.well-known/oauth-protected-resource"
# How long clients may cache a list of tools. Each call is still decided when it is made.
LIST_TTL_MS = 5000
_ABOUT = {"name": "stint", "title": "Stint", "version": settings.VERSION}
_SUBSCRIPTION = f"{wire.META}subscriptionId"


class Application:
    """All MCP servers of Stint."""

    def __init__(self) -> None:
        self._uses = Uses()
        self._handshakes = Handshakes()
        self._own = OwnService(self._uses.database, self._uses.admissions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        answer = Answer(send)
        try:
            await self._answer(scope, receive, send, answer)
        except Rejected as error:
            await answer.rejected(error)
        except Unavailable:
            await Answer(send, headers={"retry-after": "1"}).plain(503, "Stint is unavailable.\n")
        except TimeoutError:
            log.info("mcp.client_stopped_reading")

    async def stop(self) -> None:
        """Cut all open requests and streams, because this process is ending."""
        self._own.stop()
        await self._uses.stop()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
        path, method = scope["path"], scope["method"]
        if path.startswith(_METADATA):
            return await self._metadata(path.removeprefix(_METADATA), method, send, answer)
        found = _PATH.fullmatch(path)
        if found is None:
            return await answer.plain(404, "Server not found.\n")
        headers = headers_of(scope)
        _check_origin(headers.get("origin"))
        service: Service = ClusterService(found[1], self._uses) if found[1] else self._own
        client = scope.get("client") or ("", 0)
        # Authenticate once the body is complete: a slow sender must not be admitted by a token that ends
        # meanwhile.
        body = await body_of(receive) if method == "POST" else b""
        caller = await service.caller(headers, str(client[0]), method, body)
        if method == "POST":
            return await self._post(service, caller, asked_of(headers, body), receive, send)
        if method in ("GET", "DELETE") and headers.get("mcp-protocol-version") != wire.MODERN:
            return await self._legacy(method, service, caller, headers, receive, send)
        raise Rejected(405, None, "Use POST.", headers={"allow": "POST"})

    # Metadata

    async def _metadata(self, path: str, method: str, send: Send, answer: Answer) -> None:
        if _PATH.fullmatch(path) is None:
            return await answer.plain(404, "Not found.\n")
        if method not in ("GET", "HEAD"):
            raise Rejected(405, None, "Use GET.", headers={"allow": "GET"})
        body = json.dumps(metadata(path)).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"access-control-allow-origin", b"*"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body if method == "GET" else b""})
        return None

    # Messages

    async def _post(
        self, service: Service, caller: Caller, asked: Asked, receive: Receive, send: Send
    ) -> None:
        answer = Answer(send, asked)
        if not asked.modern and asked.method != "initialize":
            self._check_session(asked.headers, caller)
        if asked.id is None:
            if asked.method == "notifications/cancelled":
                service.cancel(caller, asked.params.get("requestId"))
            return await answer.plain(202)
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._message(service, caller, asked, answer, gone)
        except Rejected as error:
            if not answer.streaming:
                raise
            await answer.error(error.code or wire.INTERNAL_ERROR, error.message)
        except (StintError, ConnectorError, Over) as error:
            if isinstance(error, Unavailable) and not answer.streaming:
                raise
            await answer.error(wire.INTERNAL_ERROR, str(error))
        finally:
            gone.cancel()
        return None

    async def _message(
        self, service: Service, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]
    ) -> None:
        has = service.capabilities(caller)
        if asked.method in CALLS and _family(asked.method) in has:
            await service.call(caller, asked, answer, gone)
        elif asked.method in wire.LISTS and _family(asked.method) in has:
            await self._list(service, caller, asked, answer)
        elif asked.method == "completion/complete" and "completions" in has:
            await _complete(service, caller, asked, answer)
        elif asked.modern:
            await self._modern(service, caller, asked, answer, gone)
        elif asked.method == "initialize":
            await self._initialize(service, caller, asked, answer)
        elif asked.method == "ping":
            await answer.result({})
        else:
            await answer.error(wire.METHOD_NOT_FOUND, _not_here(asked.method))

    async def _list(self, service: Service, caller: Caller, asked: Asked, answer: Answer) -> None:
        if asked.params.get("cursor") is not None:
            return await answer.error(wire.INVALID_PARAMS, "The list has only one page.")
        if asked.method == "tools/list":
            found = await service.tools(caller)
        else:
            found = await service.listed(caller, asked.method) or []
        key, _ = wire.LISTS[asked.method]
        return await answer.result({key: found, "ttlMs": LIST_TTL_MS, "cacheScope": "private"})

    async def _modern(
        self, service: Service, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]
    ) -> None:
        if asked.method == "server/discover":
            await answer.result(
                {
                    "supportedVersions": list(SUPPORTED),
                    "capabilities": service.capabilities(caller),
                    "instructions": service.instructions,
                    "ttlMs": LIST_TTL_MS,
                    "cacheScope": "private",
                    "_meta": {f"{wire.META}serverInfo": _ABOUT},
                }
            )
        elif asked.method == "subscriptions/listen":
            await self._listen(service, caller, asked, answer, gone)
        else:
            await answer.error(wire.METHOD_NOT_FOUND, _not_here(asked.method), status=404)

    async def _listen(
        self, service: Service, caller: Caller, asked: Asked, answer: Answer, gone: asyncio.Task[None]
    ) -> None:
        """Acknowledge the subscription, and notify the client when the list of tools changes, which happens
        when the caller's access ends.
        """
        if not asked.streams:
            raise Rejected(406, None, "A subscription requires Accept: text/event-stream.")
        meta = {_SUBSCRIPTION: asked.id}
        wanted = asked.params.get("notifications")
        honored = (
            {"toolsListChanged": True}
            if isinstance(wanted, dict) and wanted.get("toolsListChanged") is True
            else {}
        )
        acknowledged = {"_meta": meta, "notifications": honored}
        await answer.note(
            {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": acknowledged}
        )
        await service.stream(caller, answer, gone)
        if not gone.done():
            if honored:
                changed = {
                    "jsonrpc": "2.0",
                    "method": "notifications/tools/list_changed",
                    "params": {"_meta": meta},
                }
                await answer.note(changed)
            await answer.result({"_meta": meta})

    # The older protocol version

    async def _initialize(self, service: Service, caller: Caller, asked: Asked, answer: Answer) -> None:
        wanted = asked.params.get("protocolVersion")
        answer.add_header("mcp-session-id", self._handshakes.begin(caller.holder))
        await answer.result(
            {
                "protocolVersion": wanted if wanted in wire.LEGACIES else wire.LEGACY,
                "capabilities": service.capabilities(caller),
                "serverInfo": _ABOUT,
                "instructions": service.instructions,
            }
        )

    def _check_session(self, headers: Any, caller: Caller) -> None:
        session = headers.get("mcp-session-id")
        if session is None:
            raise Rejected(
                400, wire.INVALID_REQUEST, "The header MCP-Session-Id is missing. Initialize first."
            )
        if not self._handshakes.knows(session, caller.holder):
            raise Rejected(404, wire.INVALID_REQUEST, "Session not found. Initialize again.")

    async def _legacy(
        self, method: str, service: Service, caller: Caller, headers: Any, receive: Receive, send: Send
    ) -> None:
        answer = Answer(send)
        self._check_session(headers, caller)
        if method == "DELETE":
            self._handshakes.end(headers["mcp-session-id"])
            return await answer.plain(204)
        if "text/event-stream" not in headers.get("accept", ""):
            raise Rejected(406, None, "Accept text/event-stream.")
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await service.stream(caller, answer, gone)
            if not gone.done():
                await answer.close()
        finally:
            gone.cancel()
        return None


def metadata(path: str) -> dict[str, Any]:
    """Return the metadata with which a client gets a token for one of the servers.

    Source: RFC 9728 section 2.
    """
    own = path == "/mcp"
    return {
        "resource": settings.MCP_URL + path,
        "authorization_servers": [f"{settings.PUBLIC_URL}/oauth"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["read", "request", "end"] if own else [],
        "resource_name": "Stint" if own else f"Stint: {path.removeprefix('/mcp/')}",
        "dpop_signing_alg_values_supported": [] if own else ["ES256", "Ed25519"],
    }


def _check_origin(origin: str | None) -> None:
    """Raise Rejected for a page of another origin: a browser would send its requests with the
    user's access.
    """
    known = {settings.PUBLIC_URL, settings.MCP_URL, *settings.STREAMS_ORIGINS}
    if origin is not None and origin not in known:
        raise Rejected(403, None, "Cross-origin requests are not allowed.")


def _family(method: str) -> str:
    """Return the capability to which a method belongs."""
    return method.partition("/")[0]


async def _complete(service: Service, caller: Caller, asked: Asked, answer: Answer) -> None:
    values = service.completion(caller, asked.params)
    if values is None:
        return await answer.error(
            wire.INVALID_PARAMS, "This can't be completed: it is not an allowed prompt."
        )
    return await answer.result({"completion": {"values": values, "total": len(values), "hasMore": False}})


def _not_here(method: str) -> str:
    return f"{method[:64]} is not supported here."


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
