"""Which grants are being undone, and where; what is still to be made for them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from django.db.models import Q, QuerySet

from sessions_app.models import Grant, GrantState, Installation, Lease


def clusters_of(grant_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster's id of each of the grants that is ending, those that began to end first at the front."""
    ending = Grant.objects.filter(state=GrantState.REVOKING)
    rows = ending.filter(pk__in=list(grant_ids)).order_by("revoking_at", "pk")
    return dict(rows.values_list("pk", "cluster_id"))


def clusters_to_make(grant_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster's id of each of the grants for which something may have to be made, the first to start at the front."""
    making = Grant.objects.filter(state__in=[GrantState.PROVISIONING, GrantState.ACTIVE])
    rows = making.filter(pk__in=list(grant_ids)).order_by("starts_at", "pk")
    return dict(rows.values_list("pk", "cluster_id"))


def clusters_of_leases(lease_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster's id of each of the leases, in their order."""
    rows = Lease.objects.filter(pk__in=list(lease_ids)).order_by("pk")
    return dict(rows.values_list("pk", "grant__cluster_id"))


def to_make(grant: Grant) -> QuerySet[Lease]:
    """Return the leases of a grant on which something has to be made: not yet, no longer, or not for long enough."""
    waiting = Q(made_until__isnull=True) | Q(made_until__lt=grant.expires_at)
    return grant.leases.filter(waiting, gone_at__isnull=True)


def installation_mark() -> str:
    """Return the 8 hexadecimal digits that the token of every grant of this installation begins with."""
    row, _ = Installation.objects.get_or_create(pk=1, defaults={"mark": secrets.token_hex(4)})
    return row.mark
