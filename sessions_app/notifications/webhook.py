"""Signed messages to user-defined addresses (Standard Webhooks 1.0). Internal addresses are refused
(SSRF).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.kernel import outgoing
from broker.kernel.networks import Network, why_not
from broker.kernel.outgoing import Outgoing, Reply, Unreached, resolve_name
from sessions_app.notifications.base import NotSent

TOTAL_SECONDS = 15.0
# The response body isn't used, so reading this much is enough.
MOST_READ = 16 * 1024
LONGEST_RETRY = 3600
GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's response: its HTTP status, and how many milliseconds it took."""

    status: int
    milliseconds: int


class NotTaken(NotSent):
    """The message was not accepted. ``status`` is the HTTP status of the response; None if there was no
    response. ``gone`` means that the receiver accepts no more messages.
    """

    def __init__(
        self, message: str, *, status: int | None = None, wait: float | None = None, gone: bool = False
    ) -> None:
        super().__init__(message, permanent=gone)
        self.status = status
        self.wait = wait
        self.gone = gone


class Forbidden(NotTaken):
    """Messages may not be sent to the address."""


def sign(*, key: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> str:
    """Return the value of ``webhook-signature``.

    For each secret, the value has ``v1,`` and the base64 of HMAC-SHA256 of ``id.timestamp.body``, separated
    by spaces (Standard Webhooks 1.0, "Signature scheme").
    """
    signed = f"{key}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def check_url(url: str, allowed: Sequence[Network] = ()) -> None:
    """Check an address before it is stored, without resolving names. Raises Forbidden."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not allowed:
        raise Forbidden("Webhooks require HTTPS, so that messages can't be read in transit.")
    with contextlib.suppress(ValueError):
        if why := why_not(ipaddress.ip_address(parts.hostname or ""), allowed):
            raise Forbidden(f"{why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message for one address. ``secrets`` are the signing keys, newest first; they are never shown."""

    url: str = field(repr=False)
    key: str
    timestamp: int
    body: bytes = field(repr=False)
    secrets: Sequence[bytes] = field(repr=False)


class Webhook:
    """Sends messages by POST. ``allowed`` lists private networks that Stint can reach, also over plain HTTP.

    ``context`` is the TLS context; the default context trusts the system's certificate authorities.
    """

    def __init__(
        self,
        *,
        agent: str,
        allowed: Sequence[Network] = (),
        context: ssl.SSLContext | None = None,
        resolve: Callable[[str, int], Sequence[str]] = resolve_name,
        total: float = TOTAL_SECONDS,
    ) -> None:
        self._outgoing = Outgoing(
            agent=agent, allowed=tuple(allowed), context=context, resolve=resolve, total=total, most=MOST_READ
        )

    def send(self, post: Post) -> Answer:
        """Send one message and read the response.

        Raises NotTaken for every status except 2xx, and Forbidden.
        """
        began = time.monotonic()
        try:
            reply = self._outgoing.exchange(post.url, method="POST", headers=_headers(post), body=post.body)
        except outgoing.Forbidden as error:
            raise Forbidden(f"The address is not allowed: {error}.") from error
        except Unreached as error:
            raise NotTaken(str(error)) from error
        return _judged(reply, round((time.monotonic() - began) * 1000))


def _headers(post: Post) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "webhook-id": post.key,
        "webhook-timestamp": str(post.timestamp),
        "webhook-signature": sign(
            key=post.key, timestamp=post.timestamp, body=post.body, secrets=post.secrets
        ),
    }


def _judged(reply: Reply, milliseconds: int) -> Answer:
    status = reply.status
    if 200 <= status < 300:
        return Answer(status, milliseconds)
    if 300 <= status < 400:
        raise NotTaken(f"The receiver returned status {status}. Redirects are not followed.", status=status)
    if status == GONE:
        raise NotTaken(
            "The receiver returned status 410 (Gone). It no longer accepts messages.",
            status=status,
            gone=True,
        )
    raise NotTaken(f"The receiver returned status {status}.", status=status, wait=_retry_after(reply))


def _retry_after(reply: Reply) -> float | None:
    text = reply.headers.get("retry-after", "").strip()
    return (
        float(min(int(text), LONGEST_RETRY)) if text.isascii() and text.isdigit() and len(text) < 10 else None
    )
