"""Relay responses of targets within their limits, and without addresses that bypass the gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from broker.kernel.problems import CONTENT_TYPE
from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import parameters_of
from sessions_app.gateways.core.aside import aside
from sessions_app.gateways.core.direct import Answer, media_in
from sessions_app.gateways.http.upstream import host_of
from sessions_app.policy.commands.http.carried import projected
from sessions_app.policy.commands.http.limits import is_json
from sessions_app.policy.commands.json_values.bodies import BodyRefused

EVENTS = "text/event-stream"
# The maximum size in bytes of a response from which fields are selected. Such a response is read in full.
MOST_PICKED = 1_000_000
# If a command lists `fields`, other headers could carry data that the body must not contain.
_PLAIN = ("age", "cache-control", "date", "expires", "last-modified", "retry-after", "vary")
_LOCATIONS = ("location", "content-location")


class Withheld(Exception):
    """A response that may not pass. Contains the status and the reason to respond with instead."""

    def __init__(self, reason: str, status: int = 502) -> None:
        self.reason, self.status = reason, status
        super().__init__(reason)


@dataclass(slots=True)
class Received:
    """The part of a response that was sent to the client: its status, size in bytes and digest."""

    status: int = 0
    size: int = 0
    digest: Any = None

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        """Add a chunk."""
        self.size += len(piece)
        self.digest.update(piece)


def answer_json(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a response of Stint's own, in the form of RFC 9457."""
    data = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(
        status=status,
        body=data,
        headers={"content-type": CONTENT_TYPE, "cache-control": "no-store", **(headers or {})},
    )


def mapped(headers: CIMultiDict[str], place: TargetSpec, here: str) -> None:
    """Rewrite the target's addresses to the gateway's. ``here`` is the address of the target's base path."""
    for name in _LOCATIONS:
        if name in headers:
            found = _mapped(headers[name], place, here)
            if found is None:
                del headers[name]
            else:
                headers[name] = found


def _mapped(location: str, place: TargetSpec, here: str) -> str | None:
    """Return the gateway's form of an address; None if the address would bypass the gateway."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    if parts.scheme and not parts.netloc:
        return None
    if parts.netloc and not _is_own(parts.scheme, parts.netloc, place):
        return location
    if not parts.netloc and not location.startswith("/"):
        # Relative to the path of the request.
        return location
    base = parameters_of(place).base_path.rstrip("/")
    if parts.path != base and not parts.path.startswith(f"{base}/"):
        return None
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return f"{here}{parts.path.removeprefix(base) or '/'}{query}{fragment}"


def _is_own(scheme: str, netloc: str, place: TargetSpec) -> bool:
    ours = "https" if parameters_of(place).tls else "http"
    usual = ":443" if ours == "https" else ":80"
    address = f"{place.target.address}:{place.target.port}"
    names = {host_of(place).lower().removesuffix(usual), address.lower().removesuffix(usual)}
    return scheme.lower() in ("", "http", "https") and netloc.lower().removesuffix(usual) in names


def picked_headers(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the headers of a response from which only some fields may pass."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() in _PLAIN)


async def picked(answer: Answer, fields: tuple[str, ...], most: int | None) -> bytes:
    """Return the listed fields of a JSON response, of which at most ``most`` bytes are read.

    Raises Withheld.
    """
    refused = answer.status if answer.status >= 400 else 502
    if not is_json(media_in(answer)) or "content-encoding" in answer.headers:
        raise Withheld(
            "only some fields of the response may pass, but the response is not plain JSON", refused
        )
    data = b"".join([piece async for piece in pieces(answer, min(most or MOST_PICKED, MOST_PICKED))])
    try:
        return await aside(len(data), projected, fields, data)
    except BodyRefused as error:
        raise Withheld(str(error), refused) from None


async def pieces(answer: Answer, most: int | None) -> AsyncIterator[bytes]:
    """Yield the body of a response. Raises Withheld once it is larger than ``most`` bytes."""
    read = 0
    async for piece in answer.content.iter_any():
        read += len(piece)
        if most is not None and read > most:
            raise Withheld(f"the response is larger than {most} bytes")
        yield piece


def begin(answer: Answer, headers: CIMultiDict[str]) -> web.StreamResponse:
    """Return the response for the client, with the target's Content-Length if there is one."""
    begun = web.StreamResponse(status=answer.status, headers=headers)
    length = length_of(answer)
    if length >= 0:
        begun.content_length = length
    return begun


def length_of(answer: Answer) -> int:
    """Return the target's Content-Length in bytes; -1 if there is none."""
    length = answer.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else -1
