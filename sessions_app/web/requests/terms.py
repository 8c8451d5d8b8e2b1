"""The terms under which an identity can request access: policies with the clusters and command sets that they
cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from accounts.models import Identity
from accounts.queries import group_names
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    CommandSet,
    CommandSetVersion,
    Target,
    requestable,
)
from sessions_app.policy.policies import PolicyDocument
from sessions_app.queries.requests import facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One policy, with the live clusters and the published command sets that it covers."""

    name: str
    document: PolicyDocument
    clusters: Sequence[Cluster]
    versions: Sequence[CommandSetVersion]


def terms_of(identity: Identity) -> list[Terms]:
    """Return the terms under which the identity can request access, one per policy."""
    return _terms(identity, AccessPolicy.objects.all())


def on_call_terms(identity: Identity) -> list[Terms]:
    """Return the terms that put the identity on call for incidents. The home page calls this for everyone, so
    it must be fast for the many people who are never on call.
    """
    found = AccessPolicy.objects.exclude(document__incident=None)
    return on_call(_terms(identity, found), group_names(identity))


def _terms(identity: Identity, policies: QuerySet[AccessPolicy]) -> list[Terms]:
    """Return the terms under the policies that let the identity request access, each with the clusters that
    it can request.
    """
    pairs = set(
        requestable(identity).filter(accesspolicy__in=policies).values_list("accesspolicy", "cluster")
    )
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    targets = Prefetch("targets", Target.objects.live())
    found = (
        AccessPolicy.objects.filter(pk__in={policy for policy, _ in pairs})
        .order_by("name")
        .prefetch_related(
            Prefetch("clusters", Cluster.objects.live().prefetch_related(targets)),
            Prefetch(
                "command_sets", CommandSet.objects.live().prefetch_related(Prefetch("versions", published))
            ),
        )
    )
    return [
        Terms(
            name=policy.name,
            document=document,
            clusters=[one for one in policy.clusters.all() if (policy.pk, one.pk) in pairs],
            versions=[one for command_set in policy.command_sets.all() if (one := command_set.published)],
        )
        for policy in found
        if (document := facts.readable_document(policy))
    ]


def on_call(terms: Sequence[Terms], groups: frozenset[str]) -> list[Terms]:
    """Return the terms that put one of the groups on call for incidents."""
    return [
        one for one in terms if one.document.incident and groups.intersection(one.document.incident.on_call)
    ]


def breakable(terms: list[Terms], groups: frozenset[str]) -> list[Terms]:
    """Return the terms under which one of the groups may use break-glass access."""
    return [
        one
        for one in terms
        if one.document.break_glass and groups.intersection(one.document.break_glass.groups)
    ]


def clusters_of(terms: Sequence[Terms]) -> list[Cluster]:
    """Return the clusters of the terms without duplicates, sorted by name."""
    found = {cluster.pk: cluster for one in terms for cluster in one.clusters}
    return sorted(found.values(), key=lambda cluster: cluster.name)
