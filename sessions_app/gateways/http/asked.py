"""A request as received, and its address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from aiohttp.web import BaseRequest

from sessions_app.gateways.core.heads import (
    Framing,
    HeadRefused,
    asks_for_websocket,
    read_framing,
    said_in,
)
from sessions_app.gateways.http.answers import EVENTS
from sessions_app.gateways.http.carried import Media, media_of
from sessions_app.policy.commands.http.headers import OVERRIDES


@dataclass(frozen=True)
class Asked:
    """A request whose head was read.

    ``name`` is a cluster's or target's name, ``target`` the path and query after the name. ``here`` is the
    address that the name has at the gateway, to which ``target`` is appended.
    """

    request: BaseRequest
    name: str
    target: str
    here: str
    framing: Framing
    media: Media
    said: dict[str, str]
    websocket: bool

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def line(self) -> str:
        """The text to record, without the body."""
        return f"{self.method} {self.target}"

    @property
    def url(self) -> str:
        """The address without the query, as a proof must contain it (RFC 9449 §4.2)."""
        return self.here + self.target.partition("?")[0]

    @property
    def client(self) -> str:
        """The client's address."""
        return (self.request.remote or "")[:64]

    @cached_property
    def stream(self) -> bool:
        """Whether the client accepts an event stream."""
        return EVENTS in self.said.get("accept", "").lower()

    @property
    def query_names(self) -> Collection[str]:
        """The decoded names in the query."""
        pairs = self.target.partition("?")[2].split("&")
        return {unquote(pair.partition("=")[0]) for pair in pairs if pair}

    @property
    def override(self) -> str:
        """The header that would change the request for some applications; empty if there is none."""
        return override_in(self.said)


def read_asked(request: BaseRequest, *, name: str, target: str, here: str) -> Asked:
    """Return a request with only its head read.

    Raises HeadRefused if two servers could read the head differently.
    """
    framing, websocket = read_framing(request), asks_for_websocket(request)
    if websocket and not framing.empty:
        raise HeadRefused(400, "A request for a WebSocket must not have a body")
    media = media_of(request.headers.get("content-type", ""))
    return Asked(request, name, target, here, framing, media, said_in(request), websocket)


def override_in(headers: Mapping[str, str]) -> str:
    """Return the name of a header that would change the request for some applications; empty if there is
    none.

    ``headers`` have lowercase names.
    """
    return next((name for name in OVERRIDES if name.lower() in headers), "")
