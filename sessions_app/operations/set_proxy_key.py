"""The key by which the proxy of a cluster proves that it is the one that asks."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import token_digest
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import Cluster, ProxyKey

PREFIX = "spk"
LEAST = 32


class WeakProxyKey(InvalidInput):
    """A key that could be guessed, or that a header can't hold."""

    code = "weak_proxy_key"


def set_proxy_key(*, cluster_id: int, key: str, actor: Actor, now: dt.datetime) -> ProxyKey:
    """Let the proxy of a cluster ask with this key alone; the one before is good no longer. Only the digest is kept here.

    Raises NotFound for no live cluster of kind http, WeakProxyKey.
    """
    if len(key) < LEAST or not key.isascii() or not key.isprintable() or " " in key:
        raise WeakProxyKey(
            f"The proxy key needs at least {LEAST} letters, digits and signs without spaces.",
            hint="`manage.py http_target_setup` makes one.",
        )
    with transaction.atomic():
        cluster = Cluster.objects.live().select_for_update().filter(pk=cluster_id, kind="http").first()
        if cluster is None:
            raise NotFound("There is no such cluster of kind http.")
        digest = token_digest(key)
        row = ProxyKey.objects.filter(cluster=cluster).first()
        if row is not None and row.digest == digest:
            return row
        if ProxyKey.objects.filter(digest=digest).exists():
            raise WeakProxyKey("Another cluster has this key.", hint="Give each cluster a key of its own.")
        row, _ = ProxyKey.objects.update_or_create(
            cluster=cluster, defaults={"digest": digest, "created_at": now}
        )
        record(
            event=Event.CLUSTER_PROXY_KEY_SET, actor=actor, object_type="cluster", object_ref=cluster.name, now=now,
            data={"id": row.pk},
        )  # fmt: skip
    return row
