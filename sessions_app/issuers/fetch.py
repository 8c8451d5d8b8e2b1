"""Fetches the keys of an issuer, from nowhere but where they may be: https, no redirects, no inner addresses, little, soon.

A name is resolved once, every address that it has is judged, and the connection goes to the address that was judged.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from broker.kernel.networks import Network, why_not, within

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 6.0
# The keys of the largest issuers have some tens of kilobytes.
MOST = 256 * 1024


class CannotFetch(Exception):  # what it is, not that it is one
    """The keys could not be had; the message says why."""


def fetch_json(url: str, *, allowed: Sequence[Network] = (), agent: str = "Stint") -> dict[str, Any]:
    """Return the JSON object at an https address. ``allowed`` are inner networks that may be reached, by http as well.

    Raises CannotFetch: for anything but status 200, more than 256 KiB, more than 6 s, and addresses that lead inside.
    """
    ends = time.monotonic() + TOTAL_SECONDS
    try:
        status, raw = _get(url, allowed, agent, ends)
        if status != http.HTTPStatus.OK:
            raise CannotFetch(f"{url} answered {status}")
        found = json.loads(raw)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise CannotFetch(f"{url} can't be read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise CannotFetch(f"{url} holds no JSON object")
    return found


def _get(url: str, allowed: Sequence[Network], agent: str, ends: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    if not secure and not allowed:
        raise CannotFetch(f"{url} is not https, so anybody on the way could give other keys")
    port = parts.port or (443 if secure else 80)
    with _connection(_judged(host, port, allowed, secure=secure), host, port, secure=secure) as raw:
        connection = http.client.HTTPConnection(host, port)
        connection.sock = raw
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("GET", path, headers={"User-Agent": agent, "Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, _read(answer, raw, ends, url)


def _judged(host: str, port: int, allowed: Sequence[Network], *, secure: bool) -> str:
    found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in sorted(found)]
    for address in addresses:
        if why := why_not(address, allowed):
            raise CannotFetch(f"{host} can't be asked: {why}")
        if not secure and not within(address, allowed):
            raise CannotFetch(f"{host} is asked by https alone")
    return str(addresses[0])


def _connection(address: str, host: str, port: int, *, secure: bool) -> socket.socket:
    raw = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    if not secure:
        return raw
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        return context.wrap_socket(raw, server_hostname=host)
    except OSError:
        raw.close()
        raise


def _read(answer: http.client.HTTPResponse, raw: socket.socket, ends: float, url: str) -> bytes:
    """Read what came, each part within what is left of the time: a server that drips holds nobody up."""
    parts: list[bytes] = []
    size = 0
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            raise CannotFetch(f"{url} is too slow")
        raw.settimeout(left)
        part = answer.read1(64 * 1024)
        if not part:
            return b"".join(parts)
        size += len(part)
        if size > MOST:
            raise CannotFetch(f"{url} answers more than {MOST // 1024} KiB")
        parts.append(part)
