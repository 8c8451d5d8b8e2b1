"""Send one request to the API server, and relay the response, with bounded memory for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.core.direct import Answer
from sessions_app.gateways.core.heads import answered
from sessions_app.gateways.core.sockets import end_with
from sessions_app.gateways.kubernetes.asked import Asked
from sessions_app.gateways.kubernetes.bodies import JSON, Body
from sessions_app.gateways.kubernetes.status import status
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import KubernetesUse
from sessions_app.policy.commands.kubernetes.bodies import JSON_PATCH

# Encodings that the gateway can't read. OpenAPI documents, which kubectl accepts only in one of these, are
# passed unread.
_UNREAD = ("vnd.kubernetes.protobuf", "cbor")
# How many times to send a write that is bound to an object, if others keep modifying the object.
_TRIES = 4


class Forwarding:
    """One allowed request. ``begun`` is the response sent to the client so far, if any.

    ``sent`` means that the API server may have received the request.
    """

    def __init__(
        self,
        upstream: Upstream,
        asked: Asked,
        use: KubernetesUse,
        body: Body,
        *,
        agent: str,
        again: Callable[[], Awaitable[Body]] | None = None,
    ) -> None:
        """``agent`` names the run in the cluster's audit log. ``again`` binds the body to the object's
        current version, if it was bound to an earlier version.
        """
        self._again = again
        self._upstream, self._asked, self._use, self._body, self._agent = upstream, asked, use, body, agent
        self.begun: web.StreamResponse | None = None
        self.sent = False
        self.status = self.size = 0
        self._digest = hashlib.sha256()
        self._plain = self._events = False
        self._last = b"\n"

    def exchanged(self) -> dict[str, Any]:
        """Return the data sent in each direction, for the record: the status (0: no response), sizes in
        bytes, SHA-256 digests.
        """
        return {
            "status": self.status,
            "body_bytes": len(self._body.data),
            "body_sha256": hashlib.sha256(self._body.data).hexdigest(),
            "answer_bytes": self.size,
            "answer_sha256": self._digest.hexdigest(),
        }

    async def run(self) -> web.StreamResponse:
        """Send the request and relay its response. Raises NotReached, aiohttp's errors once the response has
        begun, and the errors of ``again``.
        """
        there = await send_bound(self._send, self._body, self._again)
        try:
            return await self._pass(there)
        finally:
            # A connection with unread data can't be reused.
            there.close()

    async def _send(self, body: Body) -> Answer:
        self._body, self.sent = body, True
        try:
            there = await self._upstream.send(
                self._use, self._asked.method, self._asked.target, self._head(), body.data
            )
        except NotReached as error:
            self.sent = error.sent
            raise
        self.status = there.status
        return there

    def _head(self) -> dict[str, str]:
        said = self._asked.request.headers
        head = {"Accept": accepted(said.get("accept", "")), "User-Agent": self._agent}
        if self._body.data:
            head["Content-Type"] = self._body.media
        if "accept-encoding" in said:
            head["Accept-Encoding"] = said["accept-encoding"]
        return head

    async def _pass(self, there: Answer) -> web.StreamResponse:
        here = web.StreamResponse(status=there.status, headers=_passed(there))
        length = there.headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            here.content_length = int(length)
        media = there.headers.get("content-type", "").partition(";")[0].strip().lower()
        in_place = not length and "content-encoding" not in there.headers
        self._plain, self._events = in_place and media == "text/plain", in_place and media == JSON
        await here.prepare(self._asked.request)
        self.begun = here
        async for piece in there.content.iter_any():
            self.size += len(piece)
            self._digest.update(piece)
            self._last = piece[-1:]
            await here.write(piece)
        await here.write_eof()
        return here

    def tell(self, text: str) -> None:
        """Do nothing: a response has no place for messages from Stint."""

    async def cut(self, text: str) -> web.StreamResponse:
        """Drop the response so far, without waiting for a client that may not read. A followed log and a
        watch end with the reason.
        """
        transport = self._asked.request.transport
        if self.begun is None:
            raise AssertionError
        if transport is not None:
            if (line := self._goodbye(text)) and self._last == b"\n":
                await end_with(transport, b"%x\r\n%b\r\n" % (len(line), line))
            else:
                transport.abort()
        return self.begun

    def _goodbye(self, text: str) -> bytes:
        if not text:
            return b""
        if self._plain:
            return f"[stint] {text}\n".encode()
        if self._events:
            return json.dumps({"type": "ERROR", "object": status(403, text)}).encode() + b"\n"
        return b""


async def send_bound(
    send: Callable[[Body], Awaitable[Answer]], body: Body, again: Callable[[], Awaitable[Body]] | None
) -> Answer:
    """Send a body. If others have modified the object that it is bound to, let ``again`` bind it to the
    new version, and resend it.

    Raises the errors of ``send`` and ``again``.
    """
    there = await send(body)
    for _ in range(1, _TRIES):
        if again is None or not _has_changed(body, there):
            break
        there.close()
        body = await again()
        there = await send(body)
    return there


def _has_changed(body: Body, there: Answer) -> bool:
    """Whether a response can mean that the bound object has changed. A JSON patch whose test fails only
    gets the status for an invalid body.
    """
    return there.status == 409 or (there.status == 422 and body.media == JSON_PATCH)


def accepted(said: str) -> str:
    """Return an Accept header without the encodings that the gateway can't read."""
    kept = [one.strip() for one in said.split(",") if not any(word in one for word in _UNREAD)]
    return ",".join(filter(None, kept)) or JSON


def _passed(there: Answer) -> CIMultiDict[str]:
    headers = answered(there.headers, ())
    # Drop headers with addresses that bypass the gateway.
    for name in ("location", "content-location", "www-authenticate"):
        headers.popall(name, None)
    return headers
