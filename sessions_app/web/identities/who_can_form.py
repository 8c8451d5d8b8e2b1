"""The choices of the form for who can run a command, and the policies that the answer is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, Prefetch, Q, QuerySet

from accounts.models import Identity
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Target
from sessions_app.queries.statements.composed import Listed, Tabled


@dataclass(frozen=True, slots=True)
class Form:
    """The choices: clusters whose access the reader can see, and the targets and command sets of the selected
    cluster.
    """

    clusters: Sequence[Cluster]
    cluster: Cluster | None
    targets: Sequence[Target]
    sets: Sequence[str]


def looked_into(reader: Identity) -> QuerySet[Cluster]:
    """Return the live clusters whose access the reader can see: with the permission to view, approve or
    administer on the cluster or on one of its policies.
    """
    live = Cluster.objects.live()
    if reader.is_superuser:
        return live
    looks = "view", "approve", "administer"
    covered = AccessPolicy.clusters.through.objects.filter(
        accesspolicy_id__in=AccessPolicy.objects.holding(reader, *looks)
    )
    return live.filter(
        Q(pk__in=Cluster.objects.holding(reader, *looks)) | Q(pk__in=covered.values("cluster_id"))
    )


def who_can_form(reader: Identity, name: str, now: dt.datetime) -> Form:
    """Return the form's choices for the named cluster, or for the only cluster."""
    clusters = _CLUSTERS(reader, now)
    only = clusters[0] if len(clusters) == 1 and not name else None
    cluster = next((one for one in clusters if one.name == name), only)
    targets = _TARGETS(cluster.pk) if cluster else []
    names = [name for (name,) in _SETS(reader, now, cluster=cluster.pk)] if cluster else []
    return Form(clusters, cluster, targets, names)


def _policies(reader: Identity, cluster: int) -> QuerySet[AccessPolicy]:
    """Return the live policies on a cluster whose access the reader can see."""
    found = AccessPolicy.objects.live().filter(clusters=cluster)
    if reader.is_superuser:
        return found
    looks = "view", "approve", "administer"
    here = Cluster.objects.held_by(reader, *looks).filter(pk=cluster)
    return found.filter(Q(Exists(here)) | Q(pk__in=AccessPolicy.objects.holding(reader, *looks)))


def _sets(reader: Identity, _: dt.datetime, cluster: int) -> QuerySet[CommandSet, Any]:
    found = CommandSet.objects.live().filter(policies__in=_policies(reader, cluster))
    return found.distinct().order_by("name").values_list("name")


def _with_sets(reader: Identity, _: dt.datetime, cluster: int) -> QuerySet[AccessPolicy]:
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    sets = CommandSet.objects.live().prefetch_related(Prefetch("versions", published))
    found = _policies(reader, cluster).distinct().order_by("name")
    return found.prefetch_related(Prefetch("command_sets", sets))


_CLUSTERS = Listed(lambda reader, _: looked_into(reader).order_by("name"))


_TARGETS = Rows(Target, tail="WHERE cluster_id = %s AND removed_at IS NULL ORDER BY name")


_SETS = Tabled(_sets, cluster=int)


POLICIES = Listed(_with_sets, cluster=int)
