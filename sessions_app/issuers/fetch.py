"""Fetch the keys of an issuer under strict limits.

Only https, no redirects, no internal addresses, and limits on size and time.
"""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from broker.kernel.networks import Network
from broker.kernel.outgoing import Forbidden, Outgoing, Reply, Unreached

TOTAL_SECONDS = 6.0
# The key sets of the largest issuers take tens of kilobytes.
MOST = 256 * 1024


class CannotFetch(Exception):  # Named for its meaning, so without the suffix Error.
    """The fetch failed.

    The message gives the reason. ``status`` is the HTTP status if it was not 200; 0 if there was no response.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def fetch_json(
    url: str,
    *,
    allowed: Sequence[Network] = (),
    agent: str = "Stint",
    form: Mapping[str, str] | None = None,
    authorization: str = "",
) -> dict[str, Any]:
    """Return the JSON object at an https URL.

    ``allowed`` lists internal networks that Stint can reach, also over http.

    A ``form`` is sent by POST, with ``authorization`` as the Authorization header. Raises CannotFetch for any
    status other than 200, for more than 256 KiB or 6 s, and for addresses in internal networks.
    """
    sent = {"Accept": "application/json"}
    if authorization:
        sent["Authorization"] = authorization
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    body = None if form is None else urlencode(form).encode()
    try:
        found = json.loads(_body(url, _reply(url, allowed, agent, sent, body)))
    except (ValueError, RecursionError) as error:
        raise CannotFetch(f"{url} can't be read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise CannotFetch(f"{url} is not a JSON object")
    return found


def _reply(
    url: str, allowed: Sequence[Network], agent: str, headers: Mapping[str, str], body: bytes | None
) -> Reply:
    if urlsplit(url).scheme != "https" and not allowed:
        raise CannotFetch(f"{url} is not https, so its keys could be forged")
    outgoing = Outgoing(agent=agent, allowed=tuple(allowed), total=TOTAL_SECONDS, most=MOST)
    try:
        return outgoing.exchange(url, method="GET" if body is None else "POST", headers=headers, body=body)
    except Forbidden as error:
        raise CannotFetch(f"{url} can't be requested: {error}") from error
    except Unreached as error:
        raise CannotFetch(f"{url} can't be read: {error}") from error


def _body(url: str, reply: Reply) -> bytes:
    if reply.status != http.HTTPStatus.OK:
        raise CannotFetch(f"{url} returned status {reply.status}", reply.status)
    if not reply.whole:
        raise CannotFetch(f"the response from {url} was cut off or too slow")
    if len(reply.body) > MOST:
        raise CannotFetch(f"the response from {url} is larger than {MOST // 1024} KiB")
    return reply.body
