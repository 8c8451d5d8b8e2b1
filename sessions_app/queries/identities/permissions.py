"""How identities hold a permission on policies: through a group, or by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from accounts.models import Identity
from broker.kernel.postgresql.rows import ask
from sessions_app.models import AccessPolicy


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
    for held in _by("accesspolicy", permission, identity.pk):
        on_policy[held.thing].add(Way(held.group))
    for held in _by("cluster", permission, identity.pk):
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
    for held in _on("accesspolicy", permission, ids):
        found[held.thing][held.identity].add(Way(held.group))
    for held in _on("cluster", permission, [cluster_id]):
        for pk in ids:
            found[pk][held.identity].add(Way(held.group, cluster))
    return {pk: {who: sorted(ways) for who, ways in people.items()} for pk, people in found.items()}


# Who holds a permission on policies or clusters, through a group or by name.
_HELD = """
SELECT held.content_object_id, auth_group.name, mine.identity_id
  FROM sessions_app_{noun}groupobjectpermission held
  JOIN auth_group ON auth_group.id = held.group_id
  JOIN accounts_identity_groups mine ON mine.group_id = held.group_id
 WHERE held.permission_id IN (SELECT id FROM auth_permission WHERE codename = %(codename)s) AND {by_group}
UNION ALL
SELECT held.content_object_id, '', held.user_id FROM sessions_app_{noun}userobjectpermission held
 WHERE held.permission_id IN (SELECT id FROM auth_permission WHERE codename = %(codename)s) AND {by_name}
"""
_ON = "held.content_object_id = ANY(%(things)s)"


def _on(noun: str, permission: str, things: Sequence[int]) -> Iterator[_Held]:
    sql = _HELD.format(noun=noun, by_group=_ON, by_name=_ON)
    return (_Held(*row) for row in ask(sql, codename=f"{permission}_{noun}", things=list(things)))


def _by(noun: str, permission: str, identity: int) -> Iterator[_Held]:
    by_group, by_name = "mine.identity_id = %(who)s", "held.user_id = %(who)s"
    sql = _HELD.format(noun=noun, by_group=by_group, by_name=by_name)
    return (_Held(*row) for row in ask(sql, codename=f"{permission}_{noun}", who=identity))
