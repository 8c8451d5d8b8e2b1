"""How identities hold a permission on policies: through a group, or by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessPolicyGroupObjectPermission,
    AccessPolicyUserObjectPermission,
    ClusterGroupObjectPermission,
    ClusterUserObjectPermission,
)


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """One way to hold a permission: through a group (empty: by name), on the policy itself or on a cluster
    that the policy covers.
    """

    group: str
    cluster: str = ""

    def __str__(self) -> str:
        by = f"through {self.group}" if self.group else "by name"
        return f"{by}, on all of {self.cluster}" if self.cluster else by


class _Held(NamedTuple):
    """A permission on one object that one identity holds through a group (empty: by name)."""

    thing: int
    group: str
    identity: int


def ways_of(identity: Identity, permission: str, policies: Iterable[AccessPolicy]) -> dict[int, list[Way]]:
    """Return how the identity holds a permission (`request`, `approve` …) on each policy, by policy id.

    Policies on which the identity does not hold the permission are left out. The clusters of the policies
    must be prefetched.
    """
    on_policy, on_cluster = defaultdict(set), defaultdict(set)
    for held in _on_policies(permission, {"group__user": identity}, {"user": identity}):
        on_policy[held.thing].add(Way(held.group))
    for held in _on_clusters(permission, {"group__user": identity}, {"user": identity}):
        on_cluster[held.thing].add(held.group)
    found: dict[int, list[Way]] = {}
    for policy in policies:
        ways = set(on_policy.get(policy.pk, ()))
        for cluster in policy.clusters.all():
            ways |= {Way(group, cluster.name) for group in on_cluster.get(cluster.pk, ())}
        if ways:
            found[policy.pk] = sorted(ways)
    return found


def who_may(
    permission: str, policies: Sequence[AccessPolicy], cluster_id: int, cluster: str
) -> dict[int, dict[int, list[Way]]]:
    """Return who holds a permission on each policy for one cluster, and how: by policy id, then by identity
    id.
    """
    ids = [policy.pk for policy in policies]
    found: dict[int, dict[int, set[Way]]] = {pk: defaultdict(set) for pk in ids}
    some = {"content_object__in": ids}
    for held in _on_policies(permission, some, some):
        found[held.thing][held.identity].add(Way(held.group))
    here = {"content_object": cluster_id}
    for held in _on_clusters(permission, here, here):
        for pk in ids:
            found[pk][held.identity].add(Way(held.group, cluster))
    return {pk: {who: sorted(ways) for who, ways in people.items()} for pk, people in found.items()}


def _on_policies(permission: str, by_group: dict[str, Any], by_name: dict[str, Any]) -> Iterator[_Held]:
    name = f"{permission}_accesspolicy"
    yield from _held(
        AccessPolicyGroupObjectPermission, AccessPolicyUserObjectPermission, name, by_group, by_name
    )


def _on_clusters(permission: str, by_group: dict[str, Any], by_name: dict[str, Any]) -> Iterator[_Held]:
    name = f"{permission}_cluster"
    yield from _held(ClusterGroupObjectPermission, ClusterUserObjectPermission, name, by_group, by_name)


def _held(
    groups: Any, users: Any, codename: str, by_group: dict[str, Any], by_name: dict[str, Any]
) -> Iterator[_Held]:
    permission = {"permission__codename": codename, "permission__content_type__app_label": "sessions_app"}
    members = groups.objects.filter(**permission, **by_group, group__user__isnull=False)
    for thing, group, identity in members.values_list("content_object", "group__name", "group__user"):
        yield _Held(thing, group, identity)
    named = users.objects.filter(**permission, **by_name)
    for thing, identity in named.values_list("content_object", "user"):
        yield _Held(thing, "", identity)
