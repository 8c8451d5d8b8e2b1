"""The conditions of a use, removed one at a time."""

from accounts.models import Identity
from sessions_app.models import Cluster, EndReason, Grant, GrantCredential
from sessions_app.operations.grants.end_grant import end_grant


def _cluster(grant, **changes) -> None:
    Cluster.objects.filter(pk=grant.cluster_id).update(**changes)


def _identity(pk) -> None:
    Identity.objects.filter(pk=pk).update(is_active=False)


def _directly(grant) -> None:
    connection = {**grant.cluster.connection, "direct": True}
    grant.leases.update(connection=connection)
    _cluster(grant, connection=connection)


LOSSES = {
    "grant ended": lambda grant: end_grant(
        grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=grant.starts_at
    ),
    "grant held": lambda grant: Grant.objects.filter(pk=grant.pk).update(held_at=grant.starts_at),
    "holder silent": lambda grant: Grant.objects.filter(pk=grant.pk).update(heartbeat_due_at=grant.starts_at),
    "holder disabled": lambda grant: _identity(grant.holder_id),
    "owner disabled": lambda grant: _identity(grant.holder.owner_id),
    "token over": lambda grant: GrantCredential.objects.filter(grant=grant).update(
        expires_at=grant.starts_at
    ),
    "cluster removed": lambda grant: _cluster(grant, removed_at=grant.starts_at),
    "cluster of another kind": lambda grant: _cluster(grant, kind="ssh"),
    "connection changed": lambda grant: _cluster(grant, connection={"path": "/other", "tls": False}),
    "secret altered": lambda grant: _cluster(grant, sealed_connection=b"x" * 40),
    "reached directly": _directly,
    "target removed": lambda grant: grant.targets.update(removed_at=grant.starts_at),
    "target moved": lambda grant: grant.targets.update(port=1),
    "lease gone": lambda grant: grant.leases.update(gone_at=grant.starts_at),
    "nothing made": lambda grant: grant.leases.update(made_until=None),
    "tools unknown": lambda grant: grant.leases.update(made={}),
}


def lose(grant, what: str) -> None:
    """Remove one condition of a use of the grant."""
    LOSSES[what](grant)
