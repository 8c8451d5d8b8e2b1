"""Signed messages to addresses that others chose: Standard Webhooks 1.0, and nothing that leads inside (SSRF).

A name is resolved once for each attempt, every address that it has is judged, and the connection goes to the address that
was judged. Redirects are not followed, proxies of the environment not asked, and all of it together has one deadline.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.kernel.networks import Network, why_not, within
from sessions_app.notifications.base import NotTold

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
TOTAL_SECONDS = 15.0
# Nobody reads it; what a receiver has to say fits.
MOST_READ = 16 * 1024
LONGEST_RETRY = 3600
GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered: its status, and in how many milliseconds."""

    status: int
    milliseconds: int


class NotTaken(NotTold):
    """The message was not taken. ``status``: what was answered, None for nothing. ``gone``: the receiver wants no more."""

    def __init__(
        self, message: str, *, status: int | None = None, wait: float | None = None, gone: bool = False
    ) -> None:
        super().__init__(message, permanent=gone)
        self.status = status
        self.wait = wait
        self.gone = gone


class Forbidden(NotTaken):
    """The address leads where nothing may be sent."""


def sign(*, key: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> str:
    """Return the value of ``webhook-signature``: ``v1,`` and the base64 of HMAC-SHA256 of ``id.timestamp.body``, once for
    each secret, separated by spaces (Standard Webhooks 1.0, "Signature scheme").
    """
    signed = f"{key}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def check_url(url: str, allowed: Sequence[Network] = ()) -> None:
    """Look at an address before it is stored, without resolving names. Raises Forbidden."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not allowed:
        raise Forbidden("Only https is sent to: what is signed could be read on the way.")
    with contextlib.suppress(ValueError):
        if why := why_not(ipaddress.ip_address(parts.hostname or ""), allowed):
            raise Forbidden(f"{why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message for one address. ``secrets`` are the keys that sign, the newest first; never shown."""

    url: str = field(repr=False)
    key: str
    timestamp: int
    body: bytes = field(repr=False)
    secrets: Sequence[bytes] = field(repr=False)


class Webhook:
    """Posts messages. ``allowed`` are networks that are not public and may be reached all the same, by http as well.

    ``context`` verifies receivers; by default the system's authorities do.
    """

    def __init__(
        self,
        *,
        agent: str,
        allowed: Sequence[Network] = (),
        context: ssl.SSLContext | None = None,
        resolve: Callable[[str, int], Sequence[str]] | None = None,
        total: float = TOTAL_SECONDS,
    ) -> None:
        self._agent, self._allowed, self._context = agent, tuple(allowed), context
        self._resolve = resolve or _resolve
        self._total = total

    def send(self, post: Post) -> Answer:
        """Post one message and read its answer. Raises NotTaken for everything but 2xx, and Forbidden."""
        began = time.monotonic()
        parts = urlsplit(post.url)
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if secure else 80)
        addresses = self._addresses(host, port, secure=secure)
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        try:
            with self._wire(addresses, port, host if secure else None, began) as wire:
                response = _exchange(wire, host, parts.netloc, target, self._headers(post), post.body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            late = time.monotonic() - began >= self._total
            raise NotTaken("It took too long." if late else f"It can't be reached: {_said(error)}") from error
        return _judged(response, round((time.monotonic() - began) * 1000))

    def _headers(self, post: Post) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "Connection": "close",
            "webhook-id": post.key,
            "webhook-timestamp": str(post.timestamp),
            "webhook-signature": sign(
                key=post.key, timestamp=post.timestamp, body=post.body, secrets=post.secrets
            ),
        }

    def _addresses(self, host: str, port: int, *, secure: bool) -> list[str]:
        """Return the addresses to connect to; every address of the name has to be one that may be reached."""
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self._resolve(host, port)]
        except (OSError, ValueError) as error:
            raise NotTaken(f"Its name can't be resolved: {_said(error)}") from error
        if not found:
            raise NotTaken("Its name has no address.")
        for address in found:
            if why := why_not(address, self._allowed):
                raise Forbidden(f"Nothing is sent there: {why}.")
        if not secure and not all(within(address, self._allowed) for address in found):
            raise Forbidden("Nothing is sent there: only https is.")
        return [str(address) for address in found]

    @contextlib.contextmanager
    def _wire(
        self, addresses: Sequence[str], port: int, name: str | None, began: float
    ) -> Iterator[socket.socket]:
        """A connection that is cut when the time for all of it is over, whatever the other side does."""
        raw = _connected(addresses, port, began + self._total)
        with contextlib.closing(raw), _cut_after(raw, self._total - (time.monotonic() - began)):
            raw.settimeout(READ_SECONDS)
            # Head and body go out one after the other, and would wait for the other side's acknowledgement between.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if name is None:
                yield raw
                return
            context = self._context or ssl.create_default_context()
            with context.wrap_socket(raw, server_hostname=name) as wire:
                yield wire


def _connected(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """Return a connection to the first of the judged addresses that takes one. Raises OSError."""
    refused: OSError = TimeoutError()
    for address in addresses:
        left = min(CONNECT_SECONDS, deadline - time.monotonic())
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), left)
        except OSError as error:
            refused = error
    raise refused


@contextlib.contextmanager
def _cut_after(raw: socket.socket, seconds: float) -> Iterator[None]:
    # A duplicate, because wrapping takes the descriptor away from the socket.
    with socket.socket(fileno=os.dup(raw.fileno())) as handle:

        def cut() -> None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, seconds), cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # Before the duplicate is closed, whose number another socket may get at once.
            timer.join()


def _exchange(
    wire: socket.socket, host: str, netloc: str, target: str, headers: dict[str, str], body: bytes
) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection(host)
    client.sock, client.auto_open = wire, 0
    client.request("POST", target, body=body, headers={"Host": netloc, **headers})
    response = client.getresponse()
    # A little is read, so that receivers see a proper end; the rest is cut with the connection.
    response.read(MOST_READ)
    return response


def _judged(response: http.client.HTTPResponse, milliseconds: int) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(status, milliseconds)
    if 300 <= status < 400:
        raise NotTaken(f"It answered {status}: redirects are not followed.", status=status)
    if status == GONE:
        raise NotTaken("It answered 410: it wants nothing more.", status=status, gone=True)
    raise NotTaken(f"It answered {status}.", status=status, wait=_retry_after(response))


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    return (
        float(min(int(text), LONGEST_RETRY)) if text.isascii() and text.isdigit() and len(text) < 10 else None
    )


def _said(error: Exception) -> str:
    """Return an error in words; what the other side sent is not repeated."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name. Asked in a thread, for the system's resolver knows no deadline of ours."""
    found: list[Sequence[str] | OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append([str(answer[4][0]) for answer in answers])
        except (OSError, UnicodeError) as error:
            found.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]
