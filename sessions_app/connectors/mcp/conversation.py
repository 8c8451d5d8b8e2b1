"""Communicate with an MCP server in the protocol era that the server supports."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.upstream import Answer, Endpoint, request
from sessions_app.connectors.mcp.wire import BadMessage, Events, Message

MOST_EVENT = 4 * 1024 * 1024
MOST_PAGES = 100
MOST_LISTED = 2000
_ABOUT = {"name": "stint", "version": "1"}
_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


class SessionLost(ConnectorError):
    """The server no longer recognizes a session of the older era, so a new conversation has to begin."""


class Conversation:
    """One conversation with a server.

    ``begin`` detects the server's era. ``close`` ends the session with a server of the older era.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.version = ""
        self.server = ""
        self.ready = False
        self._session = ""
        self._numbers = itertools.count(1)

    @property
    def modern(self) -> bool:
        """Whether the server is of the newer era, in which each request is independent."""
        return self.version == wire.MODERN

    async def begin(self) -> None:
        """Detect the era of the server, trying the newer one first. Raises ConnectorError."""
        self.version, self.ready, self._session = wire.MODERN, False, ""
        try:
            answer = await self.ask("server/discover", {})
        except _NotSpoken:
            answer = {}
        found = answer.get("result", {})
        if not isinstance(found, dict):
            raise self._error("sent an initialize result that is not an object")
        if wire.MODERN in _texts(found.get("supportedVersions")):
            self.server, self.ready = self._name(found), True
            return
        self.version = wire.LEGACY
        await self._handshake()

    async def _handshake(self) -> None:
        hello = {"protocolVersion": wire.LEGACY, "capabilities": {}, "clientInfo": _ABOUT}
        try:
            answer = await self.ask("initialize", hello)
        except _NotSpoken as error:
            raise self._error(f"does not support MCP: it responded with {error.status}") from error
        result = answer.get("result")
        if not isinstance(result, dict) or result.get("protocolVersion") not in wire.LEGACIES:
            raise self._error("supports no MCP version that Stint supports")
        self.version, self.server = result["protocolVersion"], self._name(result)
        await self.tell("notifications/initialized")
        self.ready = True

    async def ask(self, method: str, params: Mapping[str, Any]) -> Message:
        """Send a request and return its response, a result or an error.

        Messages that arrive before the response are ignored. Raises ConnectorError.
        """
        last: Message = {}
        async for message in self.call(method, params):
            last = message
        return last

    async def call(
        self, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Message]:
        """Send a request and yield every message that follows; the last is the response.

        Raises ConnectorError.

        ``headers`` are additional headers that the newer era requires. Leaving the loop ends the request at
        the server.
        """
        number = next(self._numbers)
        asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": self._enveloped(params)}
        async with request(
            self.endpoint, "POST", {**self._headers(method, params), **(headers or {})}, wire.dump(asked)
        ) as answer:
            if method == "initialize":
                self._session = answer.headers.get("mcp-session-id", "")
            async for message in self._messages(answer):
                if "method" in message:
                    self._check_said(message)
                    yield message
                    continue
                self._check(message, number)
                yield message
                return
        raise self._error("closed the stream without a response")

    async def tell(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification. Raises ConnectorError."""
        told: Message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            told["params"] = dict(params)
        await self._send(told)

    async def decline(self, asked: Message) -> None:
        """Decline a request from the server, because such requests are not forwarded to the
        client. Raises ConnectorError.
        """
        error = {
            "code": wire.METHOD_NOT_FOUND,
            "message": "This gateway does not forward requests to the client.",
        }
        await self._send({"jsonrpc": "2.0", "id": asked.get("id"), "error": error})

    async def close(self) -> None:
        """End the session with a server of the older era. Raises ConnectorError."""
        if self._session:
            session, self._session = self._session, ""
            headers = {"MCP-Protocol-Version": self.version, "MCP-Session-Id": session}
            async with request(self.endpoint, "DELETE", headers):
                pass

    async def tools(self) -> dict[str, Message]:
        """Return the server's description of every tool, by name.

        Raises ConnectorError, including for a duplicate name.
        """
        return await self.listed("tools/list")

    async def listed(self, method: str) -> dict[str, Message]:
        """Return all items of a list, by name or URI. A server without this list has none, except of tools.

        Raises ConnectorError, including for a duplicate.
        """
        key, named = wire.LISTS[method]
        found: dict[str, Message] = {}
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            answer = await self.ask(method, {"cursor": cursor} if cursor else {})
            if key != "tools" and _has_no(answer):
                return {}
            result = answer.get("result")
            if not isinstance(result, dict) or not isinstance(result.get(key), list):
                raise self._error(f"does not list its {wire.words_of(key)}: {_said(answer)}")
            for one in result[key]:
                self._add(found, one, key, named)
            following = result.get("nextCursor")
            if not isinstance(following, str) or following == cursor:
                return found
            cursor = following
        raise self._error(f"returns an endless list of {wire.words_of(key)}")

    def _add(self, found: dict[str, Message], one: Any, key: str, named: str) -> None:
        what = wire.words_of(key).removesuffix("s")
        name = one.get(named) if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise self._error(f"lists a {what} without a {'name' if named == 'name' else 'URI'}")
        if name in found:
            raise self._error(f"lists {name[:64]} twice")
        found[name] = one
        if len(found) > MOST_LISTED:
            raise self._error(f"lists more than {MOST_LISTED} {what}s")

    async def _send(self, message: Message) -> None:
        async with request(self.endpoint, "POST", self._headers("", {}), wire.dump(message)) as answer:
            await answer.body()

    def _enveloped(self, params: Mapping[str, Any]) -> Message:
        said = wire.without_envelope(params)
        if not self.modern:
            return said
        own = {
            wire.VERSION_KEY: wire.MODERN,
            wire.CAPABILITIES_KEY: {},
            f"{wire.META}clientInfo": _ABOUT,
        }
        return {**said, "_meta": {**said.get("_meta", {}), **own}}

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        if self.modern:
            return {**_ACCEPT, **wire.routing_headers(method, params)}
        headers = dict(_ACCEPT)
        if method != "initialize":
            headers["MCP-Protocol-Version"] = self.version
        return {**headers, "MCP-Session-Id": self._session} if self._session else headers

    async def _messages(self, answer: Answer) -> AsyncIterator[Message]:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status in (401, 403):
            raise ConnectorError(
                f"{self.endpoint.name} ({self.endpoint.where}) rejects Stint's token.",
                permanent=True,
            )
        if answer.status == 404 and self._session:
            raise SessionLost(f"{self.endpoint.name} closed the session.")
        try:
            if kind == "text/event-stream" and answer.status == 200:
                events = Events(most=MOST_EVENT)
                async for piece in answer.pieces():
                    for data in events.feed(piece):
                        yield wire.message_of(data)
            elif kind == "application/json":
                # Servers send both protocol errors and HTTP errors with an error status.
                yield self._told(await answer.body(), answer.status)
            else:
                raise self._not_spoken(answer.status)
        except BadMessage as error:
            raise self._error(str(error)) from error

    def _told(self, body: bytes, status: int) -> Message:
        try:
            return wire.message_of(body)
        except BadMessage:
            if status != 200:
                raise self._not_spoken(status) from None
            raise

    def _check(self, answer: Message, number: int) -> None:
        # The response to an unreadable request has no id.
        if answer.get("id") not in (number, None) or ("result" in answer) == ("error" in answer):
            raise self._error("responded with an id that is not the request's")

    def _check_said(self, message: Message) -> None:
        if not isinstance(message["method"], str):
            raise self._error("sent a message whose method is not a string")

    def _name(self, result: Mapping[str, Any]) -> str:
        meta = result.get("_meta", {})
        if not isinstance(meta, dict):
            raise self._error("sent a _meta that is not an object")
        about = result.get("serverInfo") or meta.get(f"{wire.META}serverInfo")
        name = about.get("name") if isinstance(about, dict) else None
        return name[:100] if isinstance(name, str) else ""

    def _not_spoken(self, status: int) -> _NotSpoken:
        return _NotSpoken(self._error(f"responded with status {status} instead of a message").message, status)

    def _error(self, what: str) -> ConnectorError:
        return ConnectorError(f"{self.endpoint.name} ({self.endpoint.where}) {what}.")


class _NotSpoken(ConnectorError):
    """A valid HTTP response that is not an MCP message."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _has_no(answer: Message) -> bool:
    error = answer.get("error")
    return isinstance(error, dict) and error.get("code") == wire.METHOD_NOT_FOUND


def _said(answer: Message) -> str:
    error = answer.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    return str(said)[:200] if said else "the server did not return a list"
