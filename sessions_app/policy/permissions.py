"""Who can do what under a set of documents: policies, clusters, command sets and groups.

The same functions compute the matrix of permissions, the difference between two times, and the effect of a
draft, so that the three always agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from accounts.names import canonical_username
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import Clause, PolicyDocument, Who

PermissionKind = Literal["request", "incident", "break_glass", "delegation", "approve", "view", "administer"]
# Permissions that let someone run commands, and permissions that don't.
RUN: tuple[PermissionKind, ...] = ("request", "incident", "break_glass", "delegation")
OVERSEE: tuple[PermissionKind, ...] = ("approve", "view", "administer")
_PARTS: dict[str, PermissionKind] = {
    "requesters": "request",
    "viewers": "view",
    "approvers": "approve",
    "administrators": "administer",
}


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One way in which an identity may do something: granted by a policy, a cluster or Stint itself, through
    a group (empty: by name).

    ``policy`` and ``needs`` are the policy under which commands run, and what it requires. ``clusters`` and
    ``command_sets`` are those that it covers; without command sets, the permission is on the clusters
    themselves.
    """

    identity: str
    permission: str
    type: str
    name: str
    group: str
    policy: str = ""
    clusters: tuple[str, ...] = ()
    command_sets: tuple[str, ...] = ()
    needs: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A permission on one cluster, with one command set (empty: on the cluster itself)."""

    identity: str
    cluster: str
    command_set: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class Person:
    """An identity at one time. ``administers`` means that the identity is a Stint administrator."""

    name: str
    is_active: bool = True
    is_machine: bool = False
    administers: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The documents and identities that were in effect at one time.

    Each of ``clusters`` has the keys of a cluster document, plus ``commands``: the kind of its command sets.
    ``command_sets`` maps each name to its kind and the number of its published version.
    """

    policies: Mapping[str, PolicyDocument] = field(default_factory=dict)
    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    command_sets: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)

    def fits(self, cluster: str, command_set: str) -> bool:
        """Whether the cluster and the published command set exist and are of the same kind."""
        there, kind = self.clusters.get(cluster), self.command_sets.get(command_set)
        return there is not None and kind is not None and there["commands"] == kind[0]

    def with_policy(self, document: PolicyDocument) -> Snapshot:
        """Return the snapshot with one policy added or replaced."""
        return replace(self, policies={**self.policies, document.name: document})

    def only_on(self, clusters: Collection[str]) -> Snapshot:
        """Return the snapshot with only these clusters, and the policies that cover one of them."""
        return replace(
            self,
            clusters={name: one for name, one in self.clusters.items() if name in clusters},
            policies={key: one for key, one in self.policies.items() if set(clusters) & set(one.clusters)},
        )

    def without_policy(self, name: str) -> Snapshot:
        """Return the snapshot without a policy."""
        return replace(self, policies={key: one for key, one in self.policies.items() if key != name})


def permissions_of(snapshot: Snapshot) -> list[Permission]:
    """Return all permissions in a snapshot, sorted. Disabled identities have none."""
    active = {name for name, person in snapshot.people.items() if person.is_active}
    found = {
        Permission(name, "administer", "stint", "", "")
        for name, person in snapshot.people.items()
        if person.administers
    }
    found.update(_on_clusters(snapshot))
    for document in snapshot.policies.values():
        found.update(_under(document, snapshot))
    return sorted(permission for permission in found if permission.identity in active)


def entries_of(permissions: Iterable[Permission], snapshot: Snapshot) -> Iterator[Entry]:
    """Yield the permissions for each cluster and each command set of its kind."""
    for permission in permissions:
        for cluster in permission.clusters:
            if not permission.command_sets:
                yield Entry(permission.identity, cluster, "", permission)
            for name in permission.command_sets:
                if snapshot.fits(cluster, name):
                    yield Entry(permission.identity, cluster, name, permission)


def _on_clusters(snapshot: Snapshot) -> Iterator[Permission]:
    """Yield the permissions that clusters themselves give, except requesting, which needs a policy."""
    for name, document in snapshot.clusters.items():
        for part, kind in _PARTS.items():
            if kind != "request":
                needs = "held commands only" if kind == "approve" else ""
                for group, identity in _named(_who(document.get(part)), snapshot):
                    yield Permission(identity, kind, "cluster", name, group, "", (name,), (), needs)


def _under(document: PolicyDocument, snapshot: Snapshot) -> Iterator[Permission]:
    clusters = tuple(name for name in document.clusters if name in snapshot.clusters)
    sets = tuple(name for name in document.command_sets if name in snapshot.command_sets)
    if not clusters or not sets:
        return
    policy = Permission("", "", "policy", document.name, "", document.name, clusters, sets)
    for part in ("viewers", "administrators"):
        for group, identity in _named(getattr(document, part), snapshot):
            yield replace(policy, identity=identity, permission=_PARTS[part], group=group, command_sets=())
    for group in document.approver_groups:
        for identity in snapshot.members.get(group, ()):
            if not _machine(identity, snapshot):
                yield replace(policy, identity=identity, permission="approve", group=group)
    yield from _running(document, policy, snapshot)


def _running(document: PolicyDocument, policy: Permission, snapshot: Snapshot) -> Iterator[Permission]:
    """Yield the permissions to run commands under a policy: those of the policy's requesters and of its
    clusters' requesters.
    """
    asking = [(policy, _named(document.requesters, snapshot))]
    for name in policy.clusters:
        on_cluster = replace(policy, type="cluster", name=name, clusters=(name,))
        asking.append((on_cluster, _named(_who(snapshot.clusters[name].get("requesters")), snapshot)))
    for base, named in asking:
        usual = replace(base, permission="request", needs=needs_of(document))
        identities = set()
        for group, identity in named:
            identities.add(identity)
            yield replace(usual, identity=identity, group=group)
        yield from _urgent(document, base, identities, snapshot)
    if document.delegation:
        for group, identity in _named(document.delegation.to, snapshot):
            yield replace(
                policy, identity=identity, permission="delegation", group=group, needs="a holder's delegation"
            )


def _urgent(
    document: PolicyDocument, base: Permission, identities: Iterable[str], snapshot: Snapshot
) -> Iterator[Permission]:
    """Yield the permissions of requesters who are on call or may use break-glass access."""
    ways: list[tuple[PermissionKind, tuple[str, ...], str]] = []
    if document.incident:
        ways.append(("incident", document.incident.on_call, _incident_needs(document)))
    if document.break_glass:
        terms = document.break_glass
        needs = (
            f"no approval, up to {say_duration(terms.max_duration)},"
            f" reviewed within {say_duration(terms.review_within)}"
        )
        ways.append(("break_glass", terms.groups, needs))
    for kind, groups, needs in ways:
        for identity in identities:
            for group in groups:
                if identity in snapshot.members.get(group, ()):
                    yield replace(base, identity=identity, permission=kind, group=group, needs=needs)


def needs_of(document: PolicyDocument) -> str:
    """Return the requirements for planned access: `1 approval from leads, a change, up to 4 h`."""
    parts = [_approvals(document.clauses)]
    if document.workflow:
        kinds = [f"{'an' if kind == 'incident' else 'a'} {kind}" for kind in document.workflow.kinds]
        parts.append(" or ".join(kinds))
        if document.workflow.approvals == "none" and document.clauses:
            parts[0] += " unless the workflow is assigned to the requester"
    return ", ".join([*parts, f"up to {say_duration(document.max_duration)}"])


def _incident_needs(document: PolicyDocument) -> str:
    terms = document.incident
    duration = f"up to {say_duration(terms.max_duration)}" if terms else ""
    return f"{_approvals(document.incident_clauses)} while an incident is open, {duration}"


def _approvals(clauses: tuple[Clause, ...]) -> str:
    if not clauses:
        return "no approval"
    return " and ".join(
        f"{clause.count} approval{'' if clause.count == 1 else 's'} from {' or '.join(clause.groups)}"
        for clause in clauses
    )


def _machine(identity: str, snapshot: Snapshot) -> bool:
    person = snapshot.people.get(identity)
    return person is not None and person.is_machine


def _who(value: Any) -> Who | None:
    return Who.model_validate(value) if value else None


def _named(who: Who | None, snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the identities that a document names, each with its group (empty: by name)."""
    if who is None:
        return []
    found = [("", canonical_username(name)) for name in who.identities]
    return found + [(group, one) for group in who.groups for one in snapshot.members.get(group, ())]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """The same change for several identities, on several clusters, with several command sets.

    ``before`` and ``after`` are the requirements for the access; empty if it did not exist.
    """

    permission: str
    identities: tuple[str, ...]
    clusters: tuple[str, ...]
    command_sets: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["gained", "lost", "changed"]:
        """Whether access was gained or lost, or has different requirements now."""
        return "changed" if self.before and self.after else "gained" if self.after else "lost"


def changes(before: Iterable[Entry], after: Iterable[Entry]) -> list[Change]:
    """Return who gained and lost what, with equal changes combined. Another way to the same access is not
    a change.
    """
    old, new = _needs(before), _needs(after)
    differs: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for key in old.keys() | new.keys():
        was, now = old.get(key, frozenset()), new.get(key, frozenset())
        if was != now:
            identity, permission, cluster, name = key
            differs[permission, cluster, name, tuple(sorted(was)), tuple(sorted(now))].add(identity)
    on_sets: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for (permission, cluster, name, was, now), identities in differs.items():
        on_sets[permission, cluster, was, now, frozenset(identities)].add(name)
    on_clusters: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for (permission, cluster, was, now, identities), names in on_sets.items():
        on_clusters[permission, was, now, identities, frozenset(names)].add(cluster)
    found = [
        Change(permission, _in_order(identities), _in_order(clusters), _in_order(names - {""}), was, now)
        for (permission, was, now, identities, names), clusters in on_clusters.items()
    ]
    return sorted(found, key=lambda one: (one.kind != "gained", one.kind != "changed", one))


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _needs(entries: Iterable[Entry]) -> dict[tuple[str, str, str, str], frozenset[str]]:
    """Return the requirements for each access. Access without further requirements has an empty text."""
    found: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for entry in entries:
        permission = entry.permission
        found[entry.identity, permission.permission, entry.cluster, entry.command_set].add(permission.needs)
    return {key: frozenset(needs) for key, needs in found.items()}
