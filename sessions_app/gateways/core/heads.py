"""Heads of requests and responses. Heads that two servers could read differently are refused, and
unlisted headers are dropped.

Source: RFC 9110 §7.6.1 (fields of one connection), RFC 9112 §6.1 and §11.2 (framing, request smuggling).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiohttp.web import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy

from broker.kernel.errors import StintError
from sessions_app.gateways.core.spellings import without

# Fields that belong to one connection, besides those that `Connection` names.
HOP_BY_HOP = frozenset(
    (
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# Fields by which a response would change the gateway's own origin or its connection.
_OF_THE_TARGET = frozenset(
    (
        "alt-svc",
        "alternate-protocol",
        "clear-site-data",
        "content-length",
        "expect-ct",
        "public-key-pins",
        "server",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
    )
)
_DROPPED = HOP_BY_HOP | _OF_THE_TARGET
# Fields that may occur only once: servers differ on which of two copies counts.
_ONCE = (
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "dpop",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
)
_VALUE = re.compile(r"[\x20-\x7e\t]*")
# 16 bytes in base64, and the version that RFC 6455 defines.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_VERSION = {"sec-websocket-version": "13", "upgrade": "websocket", "connection": "upgrade"}
_LENGTH = re.compile(r"0|[1-9][0-9]{0,17}")


# Statuses after which a retry may succeed: too many requests, or a service is unavailable.
_LATER = (429, 503)


class HeadRefused(Exception):
    """A request whose head is refused before its sender is authenticated: an HTTP status, a reason, and extra
    headers for the response.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.reason, self.headers = status, reason, headers or {}
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body is sent: its ``length`` in bytes (None: chunked), and whether the client waits for
    100 Continue.
    """

    length: int | None
    waits: bool

    @property
    def empty(self) -> bool:
        """Whether there is no body."""
        return self.length == 0


def read_framing(request: BaseRequest) -> Framing:
    """Return how a request is framed.

    Raises HeadRefused if two servers could read different requests from the head.
    """
    headers = request.headers
    for name in _ONCE:
        if len(headers.getall(name, ())) > 1:
            raise HeadRefused(400, f"The header {name} is repeated")
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and length is not None:
        raise HeadRefused(400, "Content-Length and Transfer-Encoding contradict each other")
    if coding is not None and coding.lower() != "chunked":
        raise HeadRefused(501, "The only supported transfer coding is chunked")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise HeadRefused(400, "Content-Length must be a number")
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise HeadRefused(417, "The only supported expectation is 100-continue")
    return Framing(None if coding is not None else int(length or 0), expect is not None)


def asks_for_websocket(request: BaseRequest) -> bool:
    """Return whether a request upgrades to a WebSocket.

    Raises HeadRefused for any other upgrade, such as h2c.
    """
    upgrade = request.headers.get("upgrade")
    if upgrade is None:
        return False
    if upgrade.lower() != "websocket" or request.method != "GET":
        raise HeadRefused(400, "The only supported upgrade is a GET to a WebSocket")
    check_handshake(request)
    return True


def check_handshake(request: BaseRequest) -> None:
    """Raise HeadRefused for an invalid WebSocket handshake, which must not reach the target.

    Source: RFC 6455 §4.2.1 and §4.4.
    """
    headers = request.headers
    if "upgrade" not in _named_in_connection(headers):
        raise HeadRefused(400, "A WebSocket requires Connection: Upgrade")
    if headers.getall("sec-websocket-version", ()) != ["13"]:
        raise HeadRefused(426, "The only supported WebSocket version is 13", _VERSION)
    keys = headers.getall("sec-websocket-key", ())
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise HeadRefused(400, "A WebSocket requires one Sec-WebSocket-Key of 16 bytes in base64")


def said_in(request: BaseRequest) -> dict[str, str]:
    """Return the headers of a request by lowercase name, without connection headers. Repeated headers
    are joined (RFC 9110 §5.3). Raises HeadRefused for a value that is not printable ASCII.
    """
    named = _named_in_connection(request.headers)
    said: dict[str, str] = {}
    for given, value in request.headers.items():
        name = given.lower()
        if name in HOP_BY_HOP or name in named:
            continue
        if _VALUE.fullmatch(value) is None:
            raise HeadRefused(400, f"The header {name} is not plain text")
        said[name] = f"{said[name]}, {value}" if name in said else value
    return said


def answered(headers: CIMultiDictProxy[str], secrets: Collection[str]) -> CIMultiDict[str]:
    """Return a response's headers for the client, without connection headers, cookies, and any of
    ``secrets``.

    Content-Length is also dropped, and set later from the bytes that are sent.
    """
    named = _named_in_connection(headers)
    passed: CIMultiDict[str] = CIMultiDict()
    for given, value in headers.items():
        name = given.lower()
        if name not in _DROPPED and name not in named and without(given, secrets) == given:
            passed.add(given, _in_utf_8(without(value, secrets)))
    return passed


def _in_utf_8(value: str) -> str:
    """Return a header's value with a question mark for each byte that is not UTF-8, because such bytes
    can't be sent.
    """
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def again(error: StintError) -> dict[str, str]:
    """Return an error's headers: Retry-After, if a retry can help (RFC 9110 §10.2.3)."""
    return {"retry-after": "1"} if error.status in _LATER else {}


def _named_in_connection(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    found = headers.getall("connection", ())
    return frozenset(word.strip().lower() for word in ",".join(found).split(",")) if found else frozenset()
