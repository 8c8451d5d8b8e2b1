"""Renew a gateway's lease. Without a renewal for 10 s it counts as gone, and has cut everything itself."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from django.db import connection

LEASE = dt.timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class OpenAtGateway:
    """A session whose row is open."""

    session_id: int
    grant_id: int
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """What the database knows at a renewal.

    ``at`` is the database's time. ``gateways`` is how many of them hold a lease. ``open`` has what is open at this one by the
    rows: it may hold fewer, because the answer to an opening can be lost. ``keys`` differs when a key that gateways share
    was created, rotated or retired.
    """

    id: int
    at: dt.datetime
    gateways: int
    open: list[OpenAtGateway]
    keys: tuple[str, ...]


def renew_gateway(
    *, name: str, version: str, now: dt.datetime, host_key: str = "", tls_fingerprint: str = ""
) -> Renewed:
    """Renew a gateway's lease, creating its row the first time, in a transaction of its own that does not wait for the disk.

    ``host_key`` is the public key that it identifies itself with. ``tls_fingerprint`` is the SHA-256 of the certificate
    that clients of its web gateways trust.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, at, gateways, open, keys FROM renew_gateway(%s, %s, %s, %s, %s)",
            [name, version, host_key, tls_fingerprint, now],
        )
        number, at, gateways, opened, keys = cursor.fetchone()
    rows = json.loads(opened) if isinstance(opened, str) else opened
    return Renewed(
        id=number, at=at.astimezone(dt.UTC), gateways=gateways, keys=tuple(keys or ()),
        open=[OpenAtGateway(*row) for row in rows or ()],
    )  # fmt: skip
