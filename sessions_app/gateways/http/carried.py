"""Request bodies: read within their limits, and forwarded as bytes serialized from the decided value."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from aiohttp.web import BaseRequest

from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.bodies import go_ahead, pieces
from sessions_app.gateways.core.heads import Framing, HeadRefused
from sessions_app.gateways.http.multipart import IN_MEMORY, Parts, Rebuilt
from sessions_app.policy.commands.http.carried import MAX_FIELDS, Plan
from sessions_app.policy.commands.http.contents import ABSENT, Content, Form, Upload
from sessions_app.policy.commands.http.limits import BYTES, MULTIPART
from sessions_app.policy.commands.json_values.bodies import BodyRefused, Json, canonical_body, read_body

# Maximum seconds between two chunks of a body that is streamed.
PIECE_S = 30.0
MOST_NAMES = 200
_MEDIA = re.compile(
    r"([a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64})((?:[ \t]*;.*)?)", re.IGNORECASE | re.DOTALL
)
_PARAMETER = re.compile(
    r"[ \t]*;[ \t]*([a-z0-9_-]{1,32})=(?:\"([^\"\\]{0,70})\"|([^\s;\"\\]{1,70}))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Media:
    """A media type without its parameters, and the boundary of a multipart form. ``name`` is empty if there
    is no media type.
    """

    name: str
    boundary: str = ""


def media_of(header: str) -> Media:
    """Return the media type in a Content-Type; without one, the type for bytes (RFC 9110 §8.3).

    Raises HeadRefused if two servers could read the header differently.
    """
    if not header:
        return Media(BYTES)
    found = _MEDIA.fullmatch(header)
    parameters = [] if found is None else _PARAMETER.findall(found[2])
    said = {name.lower(): quoted or plain for name, quoted, plain in parameters}
    if found is None or len(said) < len(parameters) or _PARAMETER.sub("", found[2]).strip(" \t;"):
        raise HeadRefused(415, "Content-Type is invalid: write it as type/subtype; name=value")
    if said.get("charset", "utf-8").lower() not in ("utf-8", "us-ascii"):
        raise HeadRefused(415, "The only supported charset is UTF-8")
    return Media(found[1].lower(), said.get("boundary", ""))


class Body(Protocol):
    """A body to decide (``content``) and to send on. ``size`` is the number of bytes to send.

    ``sent`` and ``digest`` (SHA-256 in hexadecimal) describe the last bytes that were sent. ``fault`` is why
    the client did not send all of the body; empty if it did.
    """

    content: Content
    media: str
    size: int
    fault: str

    @property
    def sent(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def data(self) -> Any:
        """Return the bytes to send, or an iterator of them; None for no body."""

    def close(self) -> None:
        """Delete any stored parts of the body."""


class Nothing:
    """No body."""

    content: Content = ABSENT
    media, size, sent, digest, fault = "", 0, 0, "", ""

    def data(self) -> None:
        return None

    def close(self) -> None:
        """Do nothing: nothing is stored."""


class Text:
    """A body in one chunk, such as a JSON value that was serialized anew."""

    fault = ""

    def __init__(self, content: Content, media: str, data: bytes) -> None:
        self.content, self.media = content, media
        self._bytes, self.size = data, len(data)

    @property
    def sent(self) -> int:
        return self.size

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._bytes).hexdigest()

    def data(self) -> bytes:
        return self._bytes

    def close(self) -> None:
        """Do nothing: nothing is stored."""


class Multipart:
    """A multipart form, serialized anew part by part."""

    fault = ""

    def __init__(self, parts: Parts) -> None:
        self.content: Content = parts.form()
        self._parts, self._digest, self.sent = parts, hashlib.sha256(), 0
        self._rebuilt = Rebuilt(parts.form(), parts.files())
        self.media = f"{MULTIPART}; boundary={self._rebuilt.boundary}"
        self.size = self._rebuilt.size

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    async def data(self) -> AsyncIterator[bytes]:
        self._digest, self.sent = hashlib.sha256(), 0
        async for piece in self._rebuilt.pieces():
            self.sent += len(piece)
            self._digest.update(piece)
            yield piece

    def close(self) -> None:
        self._parts.close()


class Passed:
    """An upload that is streamed: its size was decided, and its digest is known at the end."""

    def __init__(self, request: BaseRequest, framing: Framing, media: str, size: int) -> None:
        self.content: Content = Upload(media, size)
        self.media, self.size, self.fault = media, size, ""
        self._request, self._framing = request, framing
        self._digest, self.sent = hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    async def data(self) -> AsyncIterator[bytes]:
        left = self.size
        await go_ahead(self._request, self._framing)
        while left:
            piece = await self._piece()
            if not piece or len(piece) > left:
                raise ConnectionResetError("the upload is incomplete")
            left -= len(piece)
            self.sent += len(piece)
            self._digest.update(piece)
            yield piece

    async def _piece(self) -> bytes:
        try:
            async with asyncio.timeout(PIECE_S):
                return await self._request.content.readany()
        except TimeoutError:
            self.fault = "the upload arrived too slowly"
            raise

    def close(self) -> None:
        """Do nothing: nothing is stored."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The maximum number of bytes that a body occupies until its request ends."""

    memory: int
    disk: int = 0


def kept_of(framing: Framing, plan: Plan) -> Kept:
    """Return the memory and disk space for a body that is read according to this plan.

    A streamed body needs none.
    """
    if plan.reading == "none" or (plan.reading == "upload" and not plan.whole):
        return Kept(0)
    size = plan.most if framing.length is None else min(plan.most, framing.length)
    if plan.reading == "multipart":
        return Kept(min(size, MAX_FIELDS + IN_MEMORY), size)
    return Kept(size)


async def read_carried(request: BaseRequest, framing: Framing, media: Media, plan: Plan) -> Body:
    """Return the body of a request that has one, read as the plan specifies.

    Raises BodyRefused for a body that can't be decided, and HeadRefused for a body that does not arrive or is
    too large. A body that no command allows is left unread, as is an upload that is streamed.
    """
    if "content-encoding" in request.headers:
        raise HeadRefused(415, "The gateway can't check an encoded body: send it without Content-Encoding")
    if plan.reading == "none":
        return Passed(request, framing, media.name, framing.length or 0)
    if framing.length is not None and framing.length > plan.most:
        raise HeadRefused(413, f"The body is larger than {plan.most} bytes")
    if plan.reading == "upload" and not plan.whole:
        if framing.length is None:
            raise HeadRefused(411, "An upload must have a Content-Length")
        return Passed(request, framing, media.name, framing.length)
    await go_ahead(request, framing)
    if plan.reading == "multipart":
        return await _multipart(request, media, plan.most)
    data = b"".join([piece async for piece in pieces(request, plan.most)])
    if plan.reading == "upload":
        return Stored(media.name, data)
    return await aside(len(data), _form_of if plan.reading == "form" else _json_of, data, media.name)


def _form_of(data: bytes, media: str) -> Text:
    form = read_form(data)
    return Text(form, media, urlencode(form.fields).encode())


def _json_of(data: bytes, media: str) -> Text:
    value: Json = read_body(data)
    return Text(value, media, canonical_body(value).encode())


class Stored(Text):
    """An upload that was read completely, because its digest is part of the decision."""

    def __init__(self, media: str, data: bytes) -> None:
        super().__init__(Upload(media, len(data), hashlib.sha256(data).hexdigest()), media, data)


def read_form(data: bytes) -> Form:
    """Return an application/x-www-form-urlencoded form. Raises BodyRefused."""
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_NAMES,
        )
    except ValueError:
        raise BodyRefused("the body is not a form in UTF-8 with name=value pairs") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BodyRefused("a form field is repeated")
    return Form(fields)


async def _multipart(request: BaseRequest, media: Media, most: int) -> Multipart:
    if not media.boundary:
        raise BodyRefused("a multipart form must have a boundary")
    parts = Parts(media.boundary)
    try:
        async for piece in pieces(request, most):
            parts.feed(piece)
        return Multipart(parts)
    except BaseException:
        parts.close()
        raise
