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

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 6.0
# The keys of the largest issuers have some tens of kilobytes.
MOST = 256 * 1024
# Addresses that lead elsewhere than they look: embedded IPv4 (mapped, NAT64, 6to4, Teredo).
_DISGUISED = [
    ipaddress.ip_network(text)
    for text in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
]


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


def why_not(address: Address, allowed: Sequence[Network] = ()) -> str:
    """Return why nothing may be fetched from an address; empty when it may."""
    if address.is_multicast or address.is_link_local or address.is_unspecified:
        return f"{address} is a multicast, link-local or unspecified address"
    if any(address.version == network.version and address in network for network in allowed):
        return ""
    if any(address.version == network.version and address in network for network in _DISGUISED):
        return f"{address} leads elsewhere than it looks"
    return "" if address.is_global and not address.is_reserved else f"{address} is not a public address"


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
        inner = any(address.version == one.version and address in one for one in allowed)
        if not secure and not inner:
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
