"""A local port for HTTP clients, which adds the grant's token to each request and sends it to the gateway.

Each connection carries one request, so what follows its head is only relayed. Browsers can be made to send
requests here by any site (CSRF, DNS rebinding), so requests for other hosts, or from other origins, are
refused. Sources: RFC 9112, RFC 6454 section 7, the Fetch Metadata specification.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import http
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from .localport import LocalPort, Streams, is_own, pump, relay

# Seconds in which a client sends the head of its request, and for the connection to the gateway.
_HEAD_S, _CONNECT_S = 30.0, 15.0
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) HTTP/1\.1")
_STATUS = re.compile(r"HTTP/1\.1 [1-5][0-9]{2}(?: .*)?")
# Of one connection, or replaced by the tunnel.
_DROPPED = frozenset(
    ("authorization", "connection", "host", "keep-alive", "proxy-authorization", "proxy-connection")
)
_ADDRESSES = ("location", "content-location")
_BODY = ("content-length", "transfer-encoding", "upgrade")
# Requests of the page itself, and those that a person types.
_OWN_SITES = frozenset(("same-origin", "none"))


@dataclass(frozen=True, slots=True)
class Access:
    """Where the gateway has the cluster (``base``, as in https://gateway:8443/http/web-api), and the grant's
    token.
    """

    base: str
    token: str = field(repr=False)


class Refused(Exception):
    """A request that is not sent: an HTTP status, and a sentence."""

    def __init__(self, status: int, title: str) -> None:
        self.status, self.title = status, title
        super().__init__(title)


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a request or response, and its headers in order."""

    first: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return the values of a header, by its lowercase name."""
        return [value for given, value in self.headers if given.lower() == name]

    def encoded(self, *added: tuple[str, str]) -> bytes:
        """Return the bytes of the head, with headers added, and without those that the tunnel replaces."""
        kept = [pair for pair in self.headers if pair[0].lower() not in _DROPPED]
        lines = [self.first, *(f"{name}: {value}" for name, value in (*added, *kept)), "", ""]
        return "\r\n".join(lines).encode("latin-1")


_UNREADABLE = Refused(502, "The gateway's response can't be read.")


class WebTunnel(LocalPort):
    """Serves a local port. ``renew`` returns new access, after the previous token was replaced."""

    def __init__(
        self,
        access: Access,
        renew: Callable[[], Awaitable[Access]],
        context: ssl.SSLContext,
        *,
        password: str = "",
    ) -> None:
        """With ``password``, clients have to send it. Without, only the user's own programs can connect."""
        super().__init__()
        self._access, self._renew, self._context, self._password = access, renew, context, password
        self._renewing = asyncio.Lock()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Streams(reader, writer)
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await _read_head(reader)
            self._check(head, writer)
            await self._exchange(client, head)
        except Refused as refused:
            writer.write(_refusal(refused))
            with contextlib.suppress(OSError):
                await writer.drain()
        except (EOFError, OSError, TimeoutError):
            pass

    # Who may ask

    def _check(self, head: Head, writer: asyncio.StreamWriter) -> None:
        if _REQUEST.fullmatch(head.first) is None:
            raise Refused(400, "Only HTTP/1.1 requests with a path are supported.")
        if not self._password and not is_own(writer):
            raise Refused(403, "Only the account that started the tunnel can connect.")
        here = _hosts(writer)
        host = [value.lower() for value in head.all("host")]
        if len(host) != 1 or host[0] not in here:
            raise Refused(421, f"The tunnel serves only {' and '.join(here)}.")
        origins = {f"http://{name}" for name in here}
        sites = head.all("sec-fetch-site")
        if not origins.issuperset(head.all("origin")) or not _OWN_SITES.issuperset(sites):
            raise Refused(403, "Requests from other sites are refused.")
        self._check_password(head)

    def _check_password(self, head: Head) -> None:
        if not self._password:
            return
        said = "".join(head.all("authorization")).partition(" ")
        wanted = base64.b64encode(f"stint:{self._password}".encode())
        if said[0].lower() != "basic" or not hmac.compare_digest(said[2].encode("latin-1"), wanted):
            raise Refused(401, "The password is not the one that `stint tunnel` printed.")

    # One request

    async def _exchange(self, client: Streams, head: Head) -> None:
        used = self._access
        server = await self._asked(head, used)
        answer = await _answer(client, server)
        if _is_stale(answer) and await self._renewed(used) and not any(map(head.all, _BODY)):
            server.writer.close()
            server = await self._asked(head, self._access)
            answer = await _answer(client, server)
        client.writer.write(_passed(answer, used.base, f"http://{head.all('host')[0]}"))
        await relay(client, server)

    async def _asked(self, head: Head, access: Access) -> Streams:
        """Connect to the gateway, and send the head of a request with the token. Raises Refused."""
        there = urlsplit(access.base)
        try:
            async with asyncio.timeout(_CONNECT_S):
                opened = await asyncio.open_connection(there.hostname, there.port or 443, ssl=self._context)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or "no response"
            raise Refused(502, f"The gateway at {there.netloc} can't be reached: {why}.") from error
        server = Streams(*opened)
        server.writer.write(_sent(head, access))
        return server

    async def _renewed(self, used: Access) -> bool:
        """Whether there is a new token in place of the one that was used."""
        async with self._renewing:
            if self._access is used:
                with contextlib.suppress(ConnectionError):
                    self._access = await self._renew()
        return self._access is not used


async def _answer(client: Streams, server: Streams) -> Head:
    """Return the head of the response. Until it arrives, relay the body of the request, and interim
    responses.

    Raises Refused, and EOFError if the client disconnects.
    """
    up = asyncio.ensure_future(pump(client, server))
    down = asyncio.ensure_future(_final(client, server))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if not down.done() and up.exception() is None:
            server.writer.close()
            raise EOFError
        return await down
    finally:
        for way in (up, down):
            way.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _final(client: Streams, server: Streams) -> Head:
    while True:
        try:
            answer = await _read_head(server.reader)
        except (EOFError, OSError):
            raise Refused(502, "The gateway closed the connection. Try again.") from None
        except Refused:
            raise _UNREADABLE from None
        if _STATUS.fullmatch(answer.first) is None:
            raise _UNREADABLE
        if _status(answer)[0] != "1" or _status(answer) == "101":
            return answer
        client.writer.write(answer.encoded())
        await client.writer.drain()


def _status(answer: Head) -> str:
    return answer.first.split(" ")[1]


def _is_stale(answer: Head) -> bool:
    """Whether the gateway no longer accepts the token. Source: RFC 6750 section 3."""
    challenges = answer.all("www-authenticate")
    return _status(answer) == "401" and any('error="invalid_token"' in one for one in challenges)


def _sent(head: Head, access: Access) -> bytes:
    """Return the head of a request for the gateway."""
    there = urlsplit(access.base)
    method, path, version = head.first.split(" ")
    added = (
        ("Host", there.netloc),
        ("Authorization", f"Bearer {access.token}"),
        ("Connection", "Upgrade" if head.all("upgrade") else "close"),
    )
    return replace(head, first=f"{method} {there.path}{path} {version}").encoded(*added)


def _passed(answer: Head, base: str, local: str) -> bytes:
    """Return the head of a response for the client, with the tunnel's addresses in place of the gateway's."""
    headers = tuple(
        (name, _local(value, base, local) if name.lower() in _ADDRESSES else value)
        for name, value in answer.headers
    )
    connection = ("Connection", "Upgrade" if _status(answer) == "101" else "close")
    return replace(answer, headers=headers).encoded(connection)


def _local(address: str, base: str, local: str) -> str:
    rest = address.removeprefix(base)
    return f"{local}{rest}" if rest != address and rest[:1] in ("", "/", "?", "#") else address


async def _read_head(reader: asyncio.StreamReader) -> Head:
    """Read the head of a request or response. Raises Refused, OSError and EOFError."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise Refused(431, "The headers are longer than 64 KB.") from None
    first, *lines = text[:-4].split("\r\n")
    found = [_HEADER.fullmatch(line) for line in lines]
    if None in found:
        raise Refused(400, "A header can't be read.")
    return Head(first, tuple((one[1], one[2]) for one in found if one is not None))


def _hosts(writer: asyncio.StreamWriter) -> tuple[str, str]:
    port = writer.get_extra_info("sockname")[1]
    return f"127.0.0.1:{port}", f"localhost:{port}"


def _refusal(refused: Refused) -> bytes:
    """Return a response of the tunnel itself, in the form of RFC 9457."""
    body = json.dumps({"title": refused.title, "status": refused.status, "code": "tunnel"}).encode()
    lines = [
        f"HTTP/1.1 {refused.status} {http.HTTPStatus(refused.status).phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(['WWW-Authenticate: Basic realm="stint tunnel"'] if refused.status == 401 else []),
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + body
