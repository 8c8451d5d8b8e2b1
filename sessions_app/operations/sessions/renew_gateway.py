"""Renew a gateway's lease. Without a renewal for 10 s it counts as gone, and has cut everything itself."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import GatewayNode

LEASE = dt.timedelta(seconds=10)


def renew_gateway(
    *, name: str, version: str, now: dt.datetime, host_key: str = "", tls_fingerprint: str = ""
) -> int:
    """Renew a gateway's lease, creating its row the first time, and return the row's id.

    ``host_key`` is the public key that it identifies itself with, for holders' ``known_hosts``.
    ``tls_fingerprint`` is the SHA-256 of the certificate that clients of its web gateways trust.
    """
    about = {"version": version, "host_key": host_key, "tls_fingerprint": tls_fingerprint}
    node, made = GatewayNode.objects.get_or_create(
        name=name, defaults={**about, "started_at": now, "seen_at": now}
    )
    if not made:
        GatewayNode.objects.filter(pk=node.pk).update(seen_at=now, stopped_at=None, **about)
    return node.pk
