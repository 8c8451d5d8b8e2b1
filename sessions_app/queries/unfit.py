"""Names in command sets that no grant may have on a cluster, as its targets were last seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sessions_app.connectors.base import Named
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, Observation
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.commands import compiled_open


def sets_of_kind(kind: str) -> list[CompiledSet]:
    """Return the newest version of every command set of a kind, published or not; one that can't be read gives nothing."""
    found = CommandSet.objects.live().filter(kind=kind).prefetch_related("versions")
    newest = (max(one.versions.all(), key=lambda version: version.number, default=None) for one in found)
    return list(_readable(version for version in newest if version is not None))


def unfit_where_used(version: CommandSetVersion) -> list[str]:
    """Return why a version may not be used on the clusters of the policies that name its set, in sentences."""
    policies = AccessPolicy.objects.live().filter(command_sets=version.command_set_id)
    return unfit([version], list(policies.values_list("clusters__name", flat=True)))


def unfit(versions: Iterable[CommandSetVersion], clusters: Iterable[str]) -> list[str]:
    """Return why grants of these versions may not be made on these clusters, in sentences; empty when nothing is known."""
    names = {name for one in _readable(versions) if isinstance(one, Named) for name in one.template_roles()}
    if not names:
        return []
    live = Cluster.objects.live().filter(name__in=list(clusters))
    seen = Observation.objects.filter(target__cluster__in=live, target__removed_at__isnull=True).exclude(
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
