"""Fetches the keys of an issuer, from nowhere but where they may be: https, no redirects, no inner addresses, little, soon."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from broker.kernel.networks import Network
from broker.kernel.outgoing import Forbidden, Outgoing, Reply, Unreached

TOTAL_SECONDS = 6.0
# The keys of the largest issuers have some tens of kilobytes.
MOST = 256 * 1024


class CannotFetch(Exception):  # what it is, not that it is one
    """It could not be had; the message says why. ``status`` is what was answered instead of 200; 0 where nothing was."""

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
    """Return the JSON object at an https address. ``allowed`` are inner networks that may be reached, by http as well.

    A ``form`` is sent by POST, with what ``authorization`` says.
    Raises CannotFetch: for anything but status 200, more than 256 KiB, more than 6 s, and addresses that lead inside.
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
        raise CannotFetch(f"{url} answered {reply.status}", reply.status)
    if not reply.whole:
        raise CannotFetch(f"the answer of {url} broke off or was too slow")
    if len(reply.body) > MOST:
        raise CannotFetch(f"{url} answers more than {MOST // 1024} KiB")
    return reply.body
