"""Renew a gateway's lease.

Without a renewal for 10 s, the gateway counts as gone and has cut all its sessions.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from broker.kernel.postgresql.rows import ask

_RENEW = "SELECT id, at, gateways, open, keys FROM renew_gateway(%s, %s, %s, %s, %s)"
LEASE = dt.timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class OpenAtGateway:
    """A session that is open in the database."""

    session_id: int
    grant_id: int
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The state of the database at a renewal.

    ``at`` is the database's time. ``gateways`` is the number of gateways with a lease. ``open`` contains the
    sessions that the database lists as open at this gateway. The gateway may know fewer, because the result
    of opening a session can be lost. ``keys`` changes when a key that gateways share is created, rotated or
    retired.
    """

    id: int
    at: dt.datetime
    gateways: int
    open: list[OpenAtGateway]
    keys: tuple[str, ...]


def renew_gateway(
    *, name: str, version: str, now: dt.datetime, host_key: str = "", tls_fingerprint: str = ""
) -> Renewed:
    """Renew a gateway's lease, creating its row the first time.

    The renewal runs in its own transaction, which does not wait for the disk. ``host_key`` is the gateway's
    public host key. ``tls_fingerprint`` is the SHA-256 of the certificate that clients of the gateway's web
    endpoints trust.
    """
    ((number, at, gateways, opened, keys),) = ask(_RENEW, name, version, host_key, tls_fingerprint, now)
    rows = json.loads(opened) if isinstance(opened, str) else opened
    return Renewed(
        id=number,
        at=at.astimezone(dt.UTC),
        gateways=gateways,
        keys=tuple(keys or ()),
        open=[OpenAtGateway(*row) for row in rows or ()],
    )
