"""The clusters that the request form offers: all clusters if there are only a few, otherwise recent ones
and search results.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from accounts.models import Identity
from sessions_app.models import AccessRequest, Cluster
from sessions_app.web.display.states import RISK, UNKNOWN, Look

# Up to FEW clusters are listed without a search. At most MOST results are shown at once.
FEW, MOST = 6, 8
_LATEST = 60


class ClusterChoice(NamedTuple):
    """One cluster to choose, with its description and the display style of its risk."""

    cluster: Cluster
    look: Look
    about: str


@dataclass(frozen=True, slots=True)
class ClusterChoices:
    """The clusters to choose from. With a search, ``rows`` doesn't contain ``chosen``. ``found`` is the
    number of matches for ``text``.
    """

    chosen: ClusterChoice | None
    recent: Sequence[ClusterChoice]
    rows: Sequence[ClusterChoice]
    found: int
    total: int
    text: str = ""

    @property
    def has_search(self) -> bool:
        """Whether there are too many clusters to list without a search."""
        return self.total > FEW

    @property
    def more(self) -> int:
        """The number of matching clusters that are not shown."""
        return self.found - len(self.rows) - len(self.recent)


def cluster_choices(
    clusters: Sequence[Cluster], chosen: Cluster | None, recent: Collection[int], text: str
) -> ClusterChoices:
    """Return the clusters to choose from. ``recent`` contains primary keys, latest first. Each word of
    ``text`` must occur in a cluster's name, description, environment or targets.
    """
    first = _choice(chosen) if chosen else None
    if len(clusters) <= FEW:
        rows = [_choice(one) for one in clusters]
        return ClusterChoices(first, (), rows, len(rows), len(rows))
    words = text.casefold().split()
    found = [one for one in clusters if one != chosen and all(word in _text(one) for word in words)]
    by_key = {one.pk: one for one in found}
    latest = [] if words else [by_key[pk] for pk in recent if pk in by_key][:FEW]
    rest = [one for one in found if one not in latest][: MOST - len(latest)]
    return ClusterChoices(
        first,
        [_choice(one) for one in latest],
        [_choice(one) for one in rest],
        len(found),
        len(clusters),
        text,
    )


def recent_clusters(identity: Identity) -> list[int]:
    """Return the primary keys of the clusters that the identity requested recently, latest first."""
    asked = AccessRequest.objects.filter(requester=identity).order_by("-number")
    return list(dict.fromkeys(asked.values_list("cluster_id", flat=True)[:_LATEST]))


def _choice(cluster: Cluster) -> ClusterChoice:
    look = RISK.get(cluster.risk, UNKNOWN)
    return ClusterChoice(cluster, look._replace(word=f"{look.word} risk"), _about(cluster))


def _about(cluster: Cluster) -> str:
    """Return the description of a cluster: `Web servers, production, 3 targets`."""
    many = len(cluster.targets.all())
    summary = f"{cluster.summary}, " if cluster.summary else ""
    return f"{summary}{cluster.environment}, {many:,} target{'' if many == 1 else 's'}"


def _text(cluster: Cluster) -> str:
    hosts = (text for target in cluster.targets.all() for text in (target.name, target.address))
    return " ".join((cluster.name, cluster.summary, cluster.environment, *hosts)).casefold()
