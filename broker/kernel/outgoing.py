"""HTTP requests to URLs that users chose, with protection against SSRF and a deadline.

A name is resolved once per exchange. All its addresses are checked, and the connection goes to one of them.
Redirects are not followed, and proxies from the environment are not used. Resolution, connection, TLS, head
and body share one deadline, no matter how slowly the server sends.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.kernel.networks import Network, why_not, within

CONNECT_SECONDS = 5.0


class Forbidden(Exception):  # Named for the event, so without the suffix Error.
    """The address is blocked. The message is the reason, as the end of a sentence."""


class Unreached(Exception):  # Named for the event, so without the suffix Error.
    """There was no response in time. The message contains nothing that the server sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The response. ``headers``: by name in lowercase. ``body``: at most one byte more than
    ``Outgoing.most``. ``whole`` means that the response was not cut off by the deadline or the server.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    whole: bool


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name. It is resolved in a thread, because the system's resolver has no
    deadline.
    """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A client for outgoing requests. ``total``: seconds for one exchange. ``most``: maximum bytes of a
    response body.

    ``allowed``: internal networks that are not blocked, and to which http is allowed. None: addresses are not
    checked, because the operator of Stint chose the URLs. ``context``: TLS context; by default, with the
    system's CAs.
    """

    agent: str
    total: float
    most: int
    allowed: Sequence[Network] | None = ()
    context: ssl.SSLContext | None = None
    resolve: Callable[[str, int], Sequence[str]] = resolve_name

    def exchange(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request and return the response, regardless of its status. Raises Unreached or
        Forbidden.
        """
        ends = time.monotonic() + self.total
        try:
            parts = urlsplit(url)
            secure, host = parts.scheme == "https", parts.hostname or ""
            port = parts.port or (443 if secure else 80)
        except ValueError as error:
            raise Unreached("The URL is not valid.") from error
        addresses = self._addresses(host, port, secure=secure)
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        sent = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": self.agent,
            "Connection": "close",
            **(headers or {}),
        }
        try:
            with self._wire(addresses, host if secure else None, ends) as wire:
                # This host is only a placeholder: the socket is already connected, and the Host header is
                # set. An IPv6 address would be parsed as a host name with a port.
                client = http.client.HTTPConnection("connected")
                client.sock, client.auto_open = wire, 0
                client.request(method, target, body=body, headers=sent)
                answer = client.getresponse()
                # Without this check, a response that is cut off within its head would look complete.
                if time.monotonic() >= ends:
                    raise TimeoutError
                # The rest of the body is discarded with the connection.
                read = answer.read(self.most + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            late = time.monotonic() >= ends
            raise Unreached(
                "The response took too long." if late else f"The address can't be reached: {_said(error)}"
            ) from error
        broken_off = answer.length and len(read) <= self.most
        return Reply(
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            read,
            not broken_off and time.monotonic() < ends,
        )

    def _addresses(self, host: str, port: int, *, secure: bool) -> list[tuple[str, int]]:
        """Return the addresses to connect to. All addresses of the name must be allowed."""
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in self.resolve(host, port)]
        except (OSError, ValueError) as error:
            raise Unreached(f"The host name can't be resolved: {_said(error)}") from error
        if not found:
            raise Unreached("The host name has no address.")
        if self.allowed is not None:
            for address in found:
                if why := why_not(address, self.allowed):
                    raise Forbidden(why)
            if not secure and not all(within(address, self.allowed) for address in found):
                raise Forbidden("HTTPS is required")
        return [(str(address), port) for address in found]

    @contextlib.contextmanager
    def _wire(
        self, addresses: Sequence[tuple[str, int]], name: str | None, ends: float
    ) -> Iterator[socket.socket]:
        """Open a connection that is closed at the deadline of the exchange, regardless of what the server
        does.
        """
        raw = _connected(addresses, ends)
        with contextlib.closing(raw), _cut_at(raw, ends):
            raw.settimeout(self.total)
            # Head and body are sent separately, and without this option the body would wait for an
            # acknowledgment.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if name is None:
                yield raw
                return
            context = self.context or ssl.create_default_context()
            with context.wrap_socket(raw, server_hostname=name) as wire:
                yield wire


def _connected(addresses: Sequence[tuple[str, int]], ends: float) -> socket.socket:
    """Return a connection to the first address that accepts one. Raises OSError."""
    refused: OSError = TimeoutError()
    for address in addresses:
        left = min(CONNECT_SECONDS, ends - time.monotonic())
        if left <= 0:
            break
        try:
            return socket.create_connection(address, left)
        except OSError as error:
            refused = error
    raise refused


@contextlib.contextmanager
def _cut_at(raw: socket.socket, ends: float) -> Iterator[None]:
    # Shut down a duplicate, because wrapping the socket in TLS detaches its descriptor.
    with socket.socket(fileno=os.dup(raw.fileno())) as handle:

        def cut() -> None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, ends - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # Stop the timer before the duplicate is closed, because another socket may immediately reuse its
            # number.
            timer.join()


def _said(error: Exception) -> str:
    """Return an error as text, without anything that the server sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
