"""Which grants are being undone, and where."""

from __future__ import annotations

from collections.abc import Iterable

from sessions_app.models import Grant


def clusters_of(grant_ids: Iterable[int]) -> dict[int, int]:
    """Return the cluster's id of each of the grants, those that began to end first at the front."""
    rows = Grant.objects.filter(pk__in=list(grant_ids)).order_by("revoking_at", "pk")
    return dict(rows.values_list("pk", "cluster_id"))
