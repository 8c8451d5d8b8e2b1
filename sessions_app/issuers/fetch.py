"""Fetches the keys of an issuer, from nowhere but where they may be: https, no redirects, no inner addresses, little, soon."""

from __future__ import annotations

import http
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from broker.kernel.networks import Network
from broker.kernel.outgoing import Forbidden, Outgoing, Reply, Unreached

TOTAL_SECONDS = 6.0
# The keys of the largest issuers have some tens of kilobytes.
MOST = 256 * 1024


class CannotFetch(Exception):  # what it is, not that it is one
    """The keys could not be had; the message says why."""


def fetch_json(url: str, *, allowed: Sequence[Network] = (), agent: str = "Stint") -> dict[str, Any]:
    """Return the JSON object at an https address. ``allowed`` are inner networks that may be reached, by http as well.

    Raises CannotFetch: for anything but status 200, more than 256 KiB, more than 6 s, and addresses that lead inside.
    """
    try:
        found = json.loads(_body(url, _reply(url, allowed, agent)))
    except (ValueError, RecursionError) as error:
        raise CannotFetch(f"{url} can't be read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise CannotFetch(f"{url} holds no JSON object")
    return found


def _reply(url: str, allowed: Sequence[Network], agent: str) -> Reply:
    if urlsplit(url).scheme != "https" and not allowed:
        raise CannotFetch(f"{url} is not https, so anybody on the way could give other keys")
    outgoing = Outgoing(agent=agent, allowed=tuple(allowed), total=TOTAL_SECONDS, most=MOST)
    try:
        return outgoing.exchange(url, headers={"Accept": "application/json"})
    except Forbidden as error:
        raise CannotFetch(f"{url} can't be asked: {error}") from error
    except Unreached as error:
        raise CannotFetch(f"{url} can't be read: {error}") from error


def _body(url: str, reply: Reply) -> bytes:
    if reply.status != http.HTTPStatus.OK:
        raise CannotFetch(f"{url} answered {reply.status}")
    if not reply.whole:
        raise CannotFetch(f"{url} broke off its answer, or is too slow")
    if len(reply.body) > MOST:
        raise CannotFetch(f"{url} answers more than {MOST // 1024} KiB")
    return reply.body
