"""The permissions of everyone at any time, and the effect of a draft.

Permissions are computed from the versions of catalog documents and the record's entries about identities.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.fields.json import KT
from pydantic import ValidationError

from accounts.models import Identity, Kind
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from sessions_app.connectors.registry import commands_of
from sessions_app.models import AccessPolicy, Cluster, CommandSetVersion, DocumentVersion
from sessions_app.policy.permissions import (
    Change,
    Entry,
    Permission,
    Person,
    Snapshot,
    changes,
    entries_of,
    permissions_of,
)
from sessions_app.policy.policies import PolicyDocument

_EVENTS = tuple(
    event.value for event in (Event.IDENTITY_CREATED, Event.IDENTITY_DISABLED, Event.IDENTITY_ENABLED)
)
_PEOPLE_OF_CLUSTER = ("requesters", "viewers", "approvers", "administrators")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reader may see: permissions on these clusters, under these policies, and of these identities, by
    name. If ``clusters`` is None, the reader may see everything.
    """

    clusters: frozenset[str] | None = None
    policies: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()

    def shows(self, entry: Entry) -> bool:
        """Whether the reader can see the entry."""
        return (
            self.clusters is None
            or entry.cluster in self.clusters
            or entry.permission.policy in self.policies
            or entry.identity in self.identities
        )


def scope_of(reader: Identity) -> Scope:
    """Return the permissions that the reader may see: those on clusters and under policies that they view,
    approve or administer, and those of themselves and their machines. Stint administrators see all.
    """
    if reader.is_superuser:
        return Scope()
    looks = "view", "approve", "administer"
    clusters = Cluster.objects.live().held_by(reader, *looks).values_list("name", flat=True)
    policies = AccessPolicy.objects.live().held_by(reader, *looks).values_list("name", flat=True)
    return Scope(frozenset(clusters), frozenset(policies), _own(reader))


def _own(reader: Identity) -> frozenset[str]:
    """Return the names of the reader and their machines; none for a token that is bound to a workflow."""
    if reader.bound_to:
        return frozenset()
    return frozenset((reader.username, *reader.machines.values_list("username", flat=True)))


def permissions_seen_by(reader: Identity, moment: dt.datetime) -> Sequence[Permission]:
    """Return the permissions at a given time that the reader may see.

    Stint administrators can see all, others their own and those of their machines. With a token that is bound
    to a workflow, none are visible.
    """
    found = permissions_at(moment)
    if reader.is_superuser:
        return found
    own = _own(reader)
    return [permission for permission in found if permission.identity in own]


def permissions_at(moment: dt.datetime) -> Sequence[Permission]:
    """Return who had which permissions at a given time, sorted.

    If an identity was disabled at that time, it and its machines had no permissions.
    """
    return permissions_of(snapshot_at(moment))


def entries_at(moment: dt.datetime, scope: Scope) -> list[Entry]:
    """Return who could do what on each cluster at a given time, limited to the scope."""
    return entries_in(snapshot_at(moment), scope)


def entries_in(snapshot: Snapshot, scope: Scope) -> list[Entry]:
    """Return who can do what on each cluster in a snapshot, limited to the scope."""
    return [entry for entry in entries_of(permissions_of(snapshot), snapshot) if scope.shows(entry)]


def changes_between(before: dt.datetime, after: dt.datetime, scope: Scope) -> list[Change]:
    """Return who gained and lost which permissions between two times."""
    return changes(entries_at(before, scope), entries_at(after, scope))


def effect_of(document: PolicyDocument | None, name: str, now: dt.datetime) -> list[Change]:
    """Return who would gain and lose which permissions if the document replaced the named policy or, with
    None, if the policy were removed.
    """
    snapshot = snapshot_at(now)
    stored = snapshot.policies.get(name)
    touched = {cluster for one in (stored, document) if one for cluster in one.clusters}
    snapshot = snapshot.only_on(touched)
    draft = snapshot.without_policy(name) if document is None else snapshot.with_policy(document)
    return changes(entries_in(snapshot, Scope()), entries_in(draft, Scope()))


def snapshot_at(moment: dt.datetime) -> Snapshot:
    """Return the documents and identities that were in effect at a given time."""
    people = _people(moment)
    documents = list(_documents(moment))
    groups = [row for row in documents if row["type"] == "group"]
    return Snapshot(
        policies={document.name: document for document in _policies(documents)},
        clusters={row["name"]: {**row, "commands": commands_of(row["kind"])} for row in _clusters(moment)},
        command_sets=_command_sets(moment),
        members={name: frozenset(names) for name, names in _members(groups, people.values()).items()},
        people={name: each.as_person(people) for name, each in people.items()},
    )


def _documents(moment: dt.datetime) -> Iterator[Any]:
    """Yield the newest version of each policy and group. Removed ones have no document."""
    past = DocumentVersion.objects.filter(at__lte=moment, type__in=("policy", "group"))
    newest = past.order_by("type", "name", "-number").distinct("type", "name")
    yield from newest.values("type", "name", "at", "document").iterator()


def _policies(documents: Iterable[Mapping[str, Any]]) -> Iterator[PolicyDocument]:
    """Yield the readable policies. Unreadable ones allow nothing."""
    for row in documents:
        if row["type"] == "policy" and row["document"]:
            try:
                yield PolicyDocument.model_validate(row["document"])
            except ValidationError:
                continue


def _clusters(moment: dt.datetime) -> Iterator[Any]:
    """Yield each cluster's name, kind, environment, risk and people. Targets are not read, because there can
    be many.
    """
    past = DocumentVersion.objects.filter(at__lte=moment, type="cluster")
    newest = past.order_by("name", "-number").distinct("name")
    keys = {key: F(f"document__{key}") for key in _PEOPLE_OF_CLUSTER}
    texts = {key: KT(f"document__{key}") for key in ("kind", "environment", "risk")}
    rows: Iterator[Any] = newest.values("name", **keys, **texts).iterator()
    for row in rows:
        if row["kind"] is not None:
            yield row


def _command_sets(moment: dt.datetime) -> dict[str, tuple[str, int]]:
    """Return the kind and the published version of each command set, except those removed by then."""
    removals = DocumentVersion.objects.filter(
        type="command set", document__isnull=True, at__lte=moment, name=OuterRef("command_set__name")
    )
    removed = removals.order_by("-number").values("at")[:1]
    found = (
        CommandSetVersion.objects.filter(published_at__lte=moment)
        .alias(removed=Subquery(removed))
        .filter(Q(removed__isnull=True) | Q(published_at__gt=F("removed")))
        .values_list("command_set__name", "command_set__kind")
        .annotate(newest=Max("number"))
    )
    return {name: (kind, number) for name, kind, number in found}


def _members(groups: Iterable[Mapping[str, Any]], people: Iterable[_Known]) -> dict[str, set[str]]:
    """Return the members of each group: those last stored, and identities created in it since then."""
    written = {group["name"]: group for group in groups}
    members = {
        name: set(group["document"]["members"]) for name, group in written.items() if group["document"]
    }
    for person in people:
        for name in person.first_groups:
            if name not in written or person.made_at >= written[name]["at"]:
                members.setdefault(name, set()).add(person.name)
    return members


@dataclass(slots=True)
class _Known:
    """The facts about an identity in the record."""

    name: str
    is_machine: bool
    administers: bool
    first_groups: Sequence[str]
    made_at: dt.datetime
    owner: str
    active: bool = True

    def as_person(self, people: Mapping[str, _Known]) -> Person:
        """Return the identity as a person or machine. A machine is active only while its owner is."""
        owner = people.get(self.owner)
        active = self.active and (owner is None or owner.active)
        return Person(self.name, active, self.is_machine, self.administers)


def _people(moment: dt.datetime) -> dict[str, _Known]:
    """Return everyone who had been created by then, by name."""
    told = AuditEntry.objects.filter(object_type="identity", at__lte=moment, event__in=_EVENTS)
    people: dict[str, _Known] = {}
    for entry in told.order_by("seq").iterator():
        data, name = entry.data, entry.object_ref
        if entry.event == Event.IDENTITY_CREATED.value:
            people[name] = _Known(
                name=name,
                is_machine=data.get("kind", Kind.PERSON) != Kind.PERSON,
                administers=bool(data.get("administrator")),
                first_groups=data.get("groups") or [],
                made_at=entry.at,
                owner=data.get("owner") or "",
            )
        elif name in people:
            people[name].active = entry.event == Event.IDENTITY_ENABLED.value
    return people
