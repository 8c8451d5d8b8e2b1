"""A request as received, with only its head read."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp.web import BaseRequest

from sessions_app.gateways.core.heads import Framing, HeadRefused, check_handshake, read_framing

PREFIX = "/kubernetes/"
# Headers by which an API server, or a proxy in front of it, accepts impersonation.
_AS_OTHERS = ("impersonate-", "x-remote-")


@dataclass(frozen=True)
class Asked:
    """A request. ``name`` is a cluster's or target's name, ``target`` the path and query after the name.

    ``upgrade`` is `websocket`, `spdy`, or empty.
    """

    request: BaseRequest
    name: str
    target: str
    framing: Framing
    upgrade: str

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def line(self) -> str:
        """The text to record if the request can't be read as a command."""
        return f"{self.method} {self.target}"

    @property
    def client(self) -> str:
        """The client's address."""
        return (self.request.remote or "")[:64]

    @property
    def media(self) -> str:
        """The media type of the body, without parameters."""
        return self.request.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def negotiates(self) -> bool:
        """Whether the body has an encoding that clients try before they fall back to JSON."""
        return self.media in ("application/vnd.kubernetes.protobuf", "application/cbor")

    @property
    def as_other(self) -> str:
        """The name of the impersonation header in the request; empty if there is none."""
        names = (name.lower() for name in self.request.headers)
        return next((name for name in names if name.startswith(_AS_OTHERS)), "")


def read_asked(request: BaseRequest) -> Asked:
    """Return a request. Raises HeadRefused if two servers could read it differently."""
    name, _, rest = request.raw_path.removeprefix(PREFIX).partition("/")
    if "?" in name or not name:
        raise HeadRefused(
            404, "The address must be /kubernetes/, the name of a cluster or target, and a path"
        )
    framing, upgrade = read_framing(request), _upgrade_of(request)
    if upgrade and not framing.empty:
        raise HeadRefused(400, "A request for an upgrade must not have a body")
    return Asked(request, name, f"/{rest}", framing, upgrade)


def _upgrade_of(request: BaseRequest) -> str:
    """Return the protocol that a request upgrades to. Raises HeadRefused for those that kubectl
    doesn't use.
    """
    said = request.headers.get("upgrade", "").lower()
    if said not in ("", "websocket", "spdy/3.1"):
        raise HeadRefused(400, "Only upgrades to WebSocket are supported")
    if said and request.method != "GET" and said == "websocket":
        raise HeadRefused(400, "A WebSocket request must use GET")
    if said == "websocket":
        check_handshake(request)
    return said.partition("/")[0]
