"""Clusters, as those who may see them read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessPolicy, Cluster, Grant, Target
from sessions_app.web.reads.home import LIVE, with_names


def clusters(identity: Identity) -> QuerySet[Cluster]:
    """Return the live clusters that the identity may see, with how many targets they have and grants are in use there."""
    return (
        Cluster.objects.live()
        .visible_to(identity)
        .annotate(
            target_count=Count("targets", filter=Q(targets__removed_at__isnull=True), distinct=True),
            live_count=Count("grants", filter=Q(grants__state__in=LIVE), distinct=True),
        )
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """One cluster for one reader."""

    cluster: Cluster
    targets: Sequence[Target]
    policies: Sequence[AccessPolicy]
    live: Sequence[Grant]
    may_ask: bool


def cluster_page(cluster: Cluster, reader: Identity) -> ClusterPage:
    """Return a cluster with its targets, the policies that cover it and who has access there now."""
    policies = AccessPolicy.objects.live().visible_to(reader).filter(clusters=cluster)
    return ClusterPage(
        cluster=cluster,
        targets=list(cluster.targets.filter(removed_at__isnull=True).order_by("name")),
        policies=list(policies.distinct().prefetch_related("command_sets").order_by("name")),
        live=list(
            with_names(Grant.objects.visible_to(reader))
            .filter(cluster=cluster, state__in=LIVE)
            .order_by("expires_at")[:50]
        ),
        may_ask=AccessPolicy.objects.requestable_by(reader).filter(clusters=cluster).exists(),
    )
