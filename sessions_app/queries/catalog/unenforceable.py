"""Reasons why command sets can't be granted on a cluster: rules that the connection can't enforce, and roles
found on targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sessions_app.connectors.base import Named
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Observation
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog.command_sets import compiled_open


def sets_of_kind(kind: str) -> list[CompiledSet]:
    """Return the newest version of every command set of a kind, published or not, except unreadable ones."""
    found = CommandSet.objects.live().filter(kind=kind).prefetch_related("versions")
    newest = (max(one.versions.all(), key=lambda version: version.number, default=None) for one in found)
    return list(_readable(version for version in newest if version is not None))


def unfit_where_used(version: CommandSetVersion) -> list[str]:
    """Return sentences about why a version can't be used on the clusters of the policies that name its
    command set.
    """
    policies = AccessPolicy.objects.live().filter(command_sets=version.command_set_id)
    return unfit([version], list(policies.values_list("clusters__name", flat=True)))


def unfit(versions: Iterable[CommandSetVersion], clusters: Iterable[str]) -> list[str]:
    """Return sentences about why these versions can't be granted on these clusters; empty if no reason is
    known.
    """
    sets = list(_readable(versions))
    live = Cluster.objects.live().filter(name__in=list(clusters)).order_by("name")
    return [*_unenforced(sets, live), *_unfit_roles(sets, live)]


def unenforced_on(cluster: Cluster) -> list[str]:
    """Return sentences about why published command sets can't be used on a cluster whose policies name
    them.
    """
    policies = AccessPolicy.objects.live().filter(clusters=cluster)
    used = CommandSet.objects.live().filter(kind=cluster.kind, policies__in=policies).distinct()
    versions = [version for one in used.prefetch_related("versions") if (version := one.published)]
    return list(_unenforced(list(_readable(versions)), [cluster]))


def _unenforced(sets: Sequence[CompiledSet], clusters: Iterable[Cluster]) -> Iterator[str]:
    for cluster in clusters:
        for one in sets:
            if one.kind == cluster.kind and (why := one.unenforced(cluster.connection)):
                yield f"{one.name} can't be used on {cluster}: it {why}"


def _unfit_roles(sets: Iterable[CompiledSet], clusters: Iterable[Cluster]) -> list[str]:
    names = {name for one in sets if isinstance(one, Named) for name in one.template_roles()}
    if not names:
        return []
    seen = Observation.objects.filter(target__cluster__in=clusters, target__removed_at__isnull=True).exclude(
        unfit={}
    )
    return [
        f"{one.target}: {why}"
        for one in seen.select_related("target").order_by("target__name")
        for name, why in sorted(one.unfit.items())
        if name in names
    ]


def _readable(versions: Iterable[CommandSetVersion]) -> Iterator[CompiledSet]:
    for version in versions:
        try:
            yield compiled_open(version)
        except DocumentError:
            continue
