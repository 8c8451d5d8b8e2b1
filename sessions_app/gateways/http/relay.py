"""Send one request to its target, and relay the response, with bounded memory for both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import parameters_of
from sessions_app.gateways.core.allowance import BEYOND, Allowance
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.direct import Answer, media_in
from sessions_app.gateways.core.heads import answered
from sessions_app.gateways.core.sockets import drop, end_with, protocols_of
from sessions_app.gateways.http import sockets
from sessions_app.gateways.http.answers import (
    EVENTS,
    Received,
    Withheld,
    begin,
    length_of,
    mapped,
    picked,
    picked_headers,
    pieces,
)
from sessions_app.gateways.http.asked import Asked
from sessions_app.gateways.http.carried import Body, Passed
from sessions_app.gateways.http.credentials import Credentials, Injected
from sessions_app.gateways.http.upstream import Upstream, host_of
from sessions_app.policy.commands.http.decide import Allowed
from sessions_app.policy.commands.http.document import HTTPRequest
from sessions_app.policy.commands.http.headers import HARMLESS

# The argument is whether the response is a success that is small and complete.
Record = Callable[[bool], Awaitable[None]]
# Source: RFC 9110 §9.2.1.
SAFE = ("GET", "HEAD", "OPTIONS")
SMALL = 64 * 1024
# The harmless headers that the gateway writes itself.
_WRITTEN = frozenset(("content-type", "content-length"))
_PASSED = HARMLESS - _WRITTEN


class Relay:
    """One allowed request. ``begun`` is the response sent to the client so far, if any.

    ``sent`` means that the target may have received the request.
    """

    def __init__(
        self,
        upstream: Upstream,
        asked: Asked,
        place: TargetSpec,
        body: Body,
        rule: HTTPRequest,
        record: Record,
        allowance: Allowance | None,
    ) -> None:
        """``record`` is called before anything is sent to the client.

        ``allowance`` limits the amount that is sent, if a budget limits results.
        """
        self._upstream, self._asked, self._place, self._body, self._rule = upstream, asked, place, body, rule
        self._record, self._allowance = record, allowance
        self.begun: web.StreamResponse | None = None
        self.sent = False
        self.status = 0
        self._out, self._in = Received(), Received()
        self._events = False
        self._last = b"\n"

    @property
    def remark(self) -> str:
        """The record's note on a complete response; empty for a success."""
        return f"the target returned {self.status}" if self.status >= 400 else ""

    @property
    def small(self) -> bool:
        """Whether the response was a success of at most 64 KiB."""
        return self._whole and self._in.size <= SMALL

    @property
    def _whole(self) -> bool:
        """Whether the response is a success, and neither partial nor "not modified"."""
        return self.status < 400 and self.status not in (206, 304)

    def exchanged(self) -> dict[str, Any]:
        """Return the data sent in each direction, for the record: the status (0: no response), sizes in
        bytes, SHA-256 digests.
        """
        sockets_out = self._asked.websocket
        return {
            "status": self.status,
            "body_bytes": self._out.size if sockets_out else self._body.sent,
            "body_sha256": self._out.digest.hexdigest() if sockets_out else self._body.digest,
            "answer_bytes": self._in.size,
            "answer_sha256": self._in.digest.hexdigest(),
        }

    async def run(self, decision: Allowed, credentials: Credentials) -> web.StreamResponse:
        """Send the request and relay its response.

        Raises NotReached, Withheld, and aiohttp's errors once the response has started.
        """
        injected = await credentials.of(self._place)
        if self._asked.websocket:
            return await self._talk(decision, injected)
        answer = await self._send(decision, injected)
        if answer.status == 401 and credentials.refused(self._place, injected) and self._repeatable:
            answer.close()
            injected = await credentials.of(self._place)
            answer = await self._send(decision, injected)
        try:
            return await self._pass(answer, injected)
        finally:
            answer.close()

    @property
    def _repeatable(self) -> bool:
        """Whether the request may be sent twice: a target may act before it answers 401, and an approval is
        for one request.
        """
        return self._asked.method in SAFE and not self._rule.hold and not isinstance(self._body, Passed)

    async def cut(self, text: str) -> web.StreamResponse:
        """Drop the response so far, without waiting for a client that may not read.

        Only a WebSocket, or an event stream between two lines, can carry the reason.
        """
        begun, transport = self.begun, self._asked.request.transport
        if begun is None:
            raise AssertionError
        if isinstance(begun, web.WebSocketResponse):
            await drop(self._asked.request, begun, text)
        elif transport is not None:
            if self._events and self._last.endswith(b"\n") and text:
                line = f": {text}\n\n".encode()
                await end_with(transport, b"%x\r\n%b\r\n" % (len(line), line))
            else:
                transport.abort()
        return begun

    # To the target

    def _head(self, decision: Allowed, injected: Injected) -> CIMultiDict[str]:
        named = decision.command.headers.keys() - _WRITTEN
        head = CIMultiDict(
            {name: value for name, value in self._asked.said.items() if name in _PASSED or name in named}
        )
        if self._counts_bytes:
            head["accept-encoding"] = "identity"
        if self._fields is not None:
            # A response whose fields are selected must be complete and not encoded.
            head["accept-encoding"] = "identity"
            for name in ("range", "if-range"):
                head.pop(name, None)
        if self._body.media:
            head["content-type"], head["content-length"] = self._body.media, str(self._body.size)
        head["host"] = host_of(self._place)
        for name, value in injected.headers.items():
            head[name] = value
        return head

    def _target(self, injected: Injected) -> str:
        target = parameters_of(self._place).base_path.rstrip("/") + self._asked.target
        return f"{target}{'&' if '?' in target else '?'}{injected.query}" if injected.query else target

    async def _send(self, decision: Allowed, injected: Injected) -> Answer:
        before, self.sent = self.sent, True
        try:
            return await self._upstream.send(
                self._place,
                self._asked.method,
                self._target(injected),
                self._head(decision, injected),
                self._body.data(),
                patient=self._rule.stream,
            )
        except NotReached as error:
            # The target may have received the request earlier, before it refused the credential.
            self.sent = before or error.sent
            raise

    # To the client

    @property
    def _fields(self) -> tuple[str, ...] | None:
        return self._rule.response.fields if self._rule.response else None

    @property
    def _counts_bytes(self) -> bool:
        """Whether a budget counts the size of the response, which compression would hide."""
        return self._allowance is not None and "bytes" in self._allowance.unused

    @property
    def _most(self) -> int | None:
        return self._rule.response.max if self._rule.response else None

    async def _pass(self, answer: Answer, injected: Injected) -> web.StreamResponse:
        self.status = answer.status
        self._check(answer)
        headers = answered(answer.headers, injected.secrets)
        mapped(headers, self._place, self._asked.here)
        if injected.secrets:
            # This response concerns the gateway's credential, not the client's.
            headers.popall("www-authenticate", None)
        if self._fields is not None:
            return await self._pass_fields(answer, headers, self._fields)
        self._events = media_in(answer) == EVENTS
        if not self._events and 0 < length_of(answer) <= SMALL and self._asked.method != "HEAD":
            return await self._pass_whole(answer, headers)
        if self._asked.method != "HEAD":
            # A response that is known to be too large is withheld before it begins.
            await self._afford(max(0, length_of(answer)), reserve=True)
        await self._begin(begin(answer, headers), None if self._asked.method != "HEAD" else 0)
        async for piece in pieces(answer, self._most):
            await self._afford(len(piece))
            await self._write(piece)
        return await self._end()

    async def _pass_whole(self, answer: Answer, headers: CIMultiDict[str]) -> web.StreamResponse:
        """Relay a small response and its head in one write, which takes half the time."""
        # The body is as long as its Content-Length, which is within the limit.
        data = await answer.read()
        await self._afford(len(data))
        self._in.take(data)
        await self._begin(web.Response(status=answer.status, headers=headers, body=data), len(data))
        return await self._end()

    async def _afford(self, size: int, *, reserve: bool = False) -> None:
        """Count what is about to be sent against the budget, or only reserve it. Raises Withheld."""
        if self._allowance is None:
            return
        take = self._allowance.reserve if reserve else self._allowance.take
        if not await take(size=size):
            raise Withheld(BEYOND, 403)

    def _check(self, answer: Answer) -> None:
        if answer.status < 200:
            raise Withheld("the target switched to a protocol that was not requested")
        if media_in(answer) == EVENTS and not self._rule.stream:
            raise Withheld("the target responded with an event stream: set stream: true in the command")
        if self._counts_bytes and answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise Withheld("the target compressed the response, so a budget can't count it")
        if self._most is not None and length_of(answer) > self._most and self._asked.method != "HEAD":
            raise Withheld(f"the response is larger than {self._most} bytes")

    async def _pass_fields(
        self, answer: Answer, headers: CIMultiDict[str], fields: tuple[str, ...]
    ) -> web.StreamResponse:
        if self._asked.method == "HEAD" or answer.status in (204, 304):
            await self._begin(web.StreamResponse(status=answer.status, headers=picked_headers(headers)), 0)
            return await self._end()
        data = await picked(answer, fields, self._most)
        await self._afford(len(data))
        begun = web.StreamResponse(status=answer.status, headers=picked_headers(headers))
        begun.content_type, begun.content_length = "application/json", len(data)
        await self._begin(begun, len(data))
        await self._write(data)
        return await self._end()

    async def _begin(self, begun: web.StreamResponse, size: int | None) -> None:
        """Send the head of a response of this size in bytes; None if it is streamed."""
        await self._record(self._whole and size is not None and size <= SMALL)
        await begun.prepare(self._asked.request)
        self.begun = begun

    async def _write(self, piece: bytes) -> None:
        if self.begun is None:
            raise AssertionError
        self._in.take(piece)
        self._last = piece[-1:]
        await self.begun.write(piece)

    async def _end(self) -> web.StreamResponse:
        if self.begun is None:
            raise AssertionError
        await self.begun.write_eof()
        return self.begun

    # WebSockets

    async def _talk(self, decision: Allowed, injected: Injected) -> web.StreamResponse:
        head: Mapping[str, str] = self._head(decision, injected)
        offered = protocols_of(self._asked.request)
        self.sent = True
        opened = self._upstream.websocket(
            self._place, self._target(injected), head, offered, most=sockets.LARGEST_MESSAGE
        )
        try:
            async with opened as there:
                self.status = 101
                here = self.begun = await sockets.accept(self._asked.request, there)
                await sockets.relay(here, there, self._out, self._in, injected.secrets)
                return here
        except NotReached as error:
            self.sent = error.sent
            raise
