"""Responses to an MCP client: one JSON message, or a stream of messages that ends with the response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from sessions_app.connectors.mcp import wire
from sessions_app.connectors.mcp.wire import Message
from sessions_app.gateways.mcp.asked import Asked, Rejected

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Seconds. Proxies assume that a silent connection is dead.
SIGN_OF_LIFE_S = 10.0
# Seconds. A client that reads nothing for this long counts as gone.
PATIENCE_S = 10.0


class Answer:
    """The response to one HTTP request. It becomes a stream if a message has to be sent before the end."""

    def __init__(
        self, send: Send, asked: Asked | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._send, self._asked = send, asked
        self._headers = dict(headers or {})
        self.streaming = False
        self.done = False

    def add_header(self, name: str, value: str) -> None:
        """Add a header."""
        self._headers[name] = value

    async def start_stream(self) -> None:
        """Send the rest of the response in parts."""
        if not self.streaming:
            self.streaming = True
            about = {
                "content-type": "text/event-stream",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
            }
            await self._start(200, about)

    async def note(self, message: Message) -> None:
        """Send a message before the end if the client accepts a stream."""
        if self._asked is not None and self._asked.streams:
            await self.start_stream()
            await self._write(b"event: message\ndata: " + wire.dump(message) + b"\n\n")

    async def sign_of_life(self) -> None:
        """Send a comment that keeps the connection alive."""
        if self._asked is None or self._asked.streams:
            await self.start_stream()
            await self._write(b": still here\n\n")

    async def result(self, result: Message) -> None:
        """End with a result, in the form of the client's protocol version."""
        if self._asked is not None:
            await self.end(
                {"jsonrpc": "2.0", "id": self._asked.id, "result": shaped(result, modern=self._asked.modern)}
            )

    async def response(self, message: Message) -> None:
        """End with a response that has a result or an error."""
        if "error" in message:
            error = message["error"]
            return await self.error(error["code"], error["message"], data=error.get("data"))
        return await self.result(message["result"])

    async def error(self, code: int, message: str, *, status: int = 200, data: Any = None) -> None:
        """End with an error."""
        error: Message = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        number = self._asked.id if self._asked else None
        await self.end({"jsonrpc": "2.0", "id": number, "error": error}, status=status)

    async def rejected(self, error: Rejected) -> None:
        """End with the error for an invalid request."""
        self._headers |= error.headers
        if error.code is None:
            await self.plain(error.status, f"{error.message}\n")
            return
        said: Message = {"code": error.code, "message": error.message}
        if error.data is not None:
            said["data"] = error.data
        await self.end({"jsonrpc": "2.0", "id": error.number, "error": said}, status=error.status)

    async def end(self, message: Message, *, status: int = 200) -> None:
        """End with a message."""
        if self.streaming:
            await self._write(b"event: message\ndata: " + wire.dump(message) + b"\n\n", more=False)
        else:
            await self._whole(status, "application/json", wire.dump(message))

    async def plain(self, status: int, text: str = "") -> None:
        """End with plain text, without JSON-RPC."""
        await self._whole(status, "text/plain; charset=utf-8", text.encode())

    async def close(self) -> None:
        """End a stream without a message."""
        if self.streaming and not self.done:
            await self._write(b"", more=False)

    async def _whole(self, status: int, kind: str, body: bytes) -> None:
        await self._start(
            status, {"content-type": kind, "cache-control": "no-store", "content-length": str(len(body))}
        )
        self.done = True
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        said = {**headers, **self._headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        """Send a part of the body. Raises TimeoutError if the client has stopped reading."""
        self.done = not more
        async with asyncio.timeout(PATIENCE_S):
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


_MODERN_ONLY = ("resultType", "ttlMs", "cacheScope")


def shaped(result: Message, *, modern: bool) -> Message:
    """Return a result with exactly the keys of the protocol
    version.
    """
    if modern:
        return {"resultType": "complete", **result}
    return {key: value for key, value in result.items() if key not in _MODERN_ONLY}


def text_result(text: str, structured: Message | None = None, *, failed: bool = False) -> Message:
    """Return the result of a tool call, as text and as data."""
    found: Message = {"content": [{"type": "text", "text": text}], "isError": failed}
    return {**found, "structuredContent": structured} if structured is not None else found
