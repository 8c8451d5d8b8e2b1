"""The history of the catalog: its documents, their changes, and each identity's rights at any time."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from broker.kernel.errors import NotFound
from sessions_app.models import AccessPolicy, Cluster, DocumentVersion

TYPES = ("policy", "cluster", "command set", "group", "webhook", "workflow source", "trust policy")
# The keys of a document that grant rights, with their common names.
_PARTS = {"requesters": "request", "viewers": "view", "approvers": "approve", "administrators": "administer"}


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A right of an identity at a time: what it may do, on what, and through which group (empty: by name)."""

    identity: str
    right: str
    type: str
    name: str
    group: str


def versions_of(type_: str, name: str, reader: Identity) -> Sequence[DocumentVersion]:
    """Return every version of one document, newest first. Raises NotFound if there is none, or the reader may
    not see it.

    Administrators and approvers of a policy or cluster may read its history. The rest is for administrators
    of Stint.
    """
    found = list(DocumentVersion.objects.filter(type=type_, name=name).order_by("-number"))
    if not found or not (reader.is_superuser or _answers_for(type_, name, reader)):
        raise NotFound("No history found.", hint=f"Choose one of: {', '.join(TYPES)}.")
    return found


def _answers_for(type_: str, name: str, reader: Identity) -> bool:
    if reader.bound_to:
        return False
    held = {"policy": AccessPolicy.objects.held_by, "cluster": Cluster.objects.held_by}.get(type_)
    return held is not None and held(reader, "approve", "administer").filter(name=name).exists()


def difference(before: DocumentVersion | None, after: DocumentVersion) -> Sequence[str]:
    """Return the changes from one version to another as lines of a unified diff of their YAML.

    ``before`` is None if there was no earlier version.
    """
    names = (f"version {before.number}" if before else "nothing", f"version {after.number}")
    old, new = _lines(before.document if before else None), _lines(after.document)
    return list(difflib.unified_diff(old, new, *names, lineterm=""))


def _lines(document: Any) -> list[str]:
    return (
        yaml.safe_dump(document, sort_keys=True, allow_unicode=True, width=200).splitlines()
        if document
        else []
    )


def rights_seen_by(reader: Identity, moment: dt.datetime) -> Sequence[Right]:
    """Return the rights at a given time that the reader may see.

    Stint administrators see all, others their own and those of their machines. A token that is bound to a
    workflow sees none.
    """
    found = rights_at(moment)
    if reader.is_superuser:
        return found
    theirs = (
        set() if reader.bound_to else {reader.username, *reader.machines.values_list("username", flat=True)}
    )
    return [right for right in found if right.identity in theirs]


def rights_at(moment: dt.datetime) -> Sequence[Right]:
    """Return who had which rights at a given time, sorted, from the catalog's versions and the record's
    entries up to it.

    An identity that was disabled at that time had no rights, and neither had its machines. Administrators of
    Stint had a right on everything.
    """
    stood = [row for row in _standing(moment) if row.document]
    people = _people(moment)
    members = _members([row for row in stood if row.type == "group"], people.values())
    found = {
        Right(person.name, "administer", "stint", "", "")
        for person in people.values()
        if person.administrator
    }
    for row in stood:
        for right, group, username in _named(row.document, members):
            found.add(Right(username, right, row.type, row.name, group))
    idle = {person.name for person in people.values() if not _is_active(person, people)}
    return sorted(right for right in found if right.identity not in idle)


def _is_active(person: _Person, people: Mapping[str, _Person]) -> bool:
    """Whether an identity was enabled and, if it is a machine, its owner as well."""
    owner = people.get(person.owner)
    return person.active and (owner is None or owner.active)


def _standing(moment: dt.datetime) -> Iterator[DocumentVersion]:
    past = DocumentVersion.objects.filter(at__lte=moment, type__in=("policy", "cluster", "group"))
    return past.order_by("type", "name", "-number").distinct("type", "name").iterator()


def _members(groups: Iterable[DocumentVersion], people: Iterable[_Person]) -> dict[str, set[str]]:
    """Return the members of each group: those last stored, and identities created in it since then."""
    written = {group.name: group for group in groups}
    members = {name: set(group.document["members"]) for name, group in written.items()}
    for person in people:
        for name in person.first_groups:
            if name not in written or person.made_at >= written[name].at:
                members.setdefault(name, set()).add(person.name)
    return members


def _named(document: dict[str, Any], members: dict[str, set[str]]) -> Iterator[tuple[str, str, str]]:
    for key, right in _PARTS.items():
        who = document.get(key) or {}
        yield from ((right, "", canonical_username(name)) for name in who.get("identities", ()))
        yield from (
            (right, group, each) for group in who.get("groups", ()) for each in members.get(group, ())
        )
    clauses = document.get("approvals")
    for clause in clauses if isinstance(clauses, list) else ():
        yield from (("approve", group, each) for group in clause["from"] for each in members.get(group, ()))


@dataclass(slots=True)
class _Person:
    name: str
    administrator: bool
    first_groups: Sequence[str]
    made_at: dt.datetime
    owner: str
    active: bool = True


def _people(moment: dt.datetime) -> dict[str, _Person]:
    """Return everyone who had been created by then, by name."""
    told = AuditEntry.objects.filter(
        object_type="identity",
        at__lte=moment,
        event__in=[
            event.value for event in (Event.IDENTITY_CREATED, Event.IDENTITY_DISABLED, Event.IDENTITY_ENABLED)
        ],
    )
    people: dict[str, _Person] = {}
    for entry in told.order_by("seq").iterator():
        if entry.event == Event.IDENTITY_CREATED.value:
            groups = entry.data.get("groups") or []
            people[entry.object_ref] = _Person(
                entry.object_ref,
                bool(entry.data.get("administrator")),
                groups,
                entry.at,
                entry.data.get("owner") or "",
            )
        elif entry.object_ref in people:
            people[entry.object_ref].active = entry.event == Event.IDENTITY_ENABLED.value
    return people
