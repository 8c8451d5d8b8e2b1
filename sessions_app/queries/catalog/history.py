"""The history of the catalog: its documents and their changes."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from accounts.models import Identity
from broker.kernel.errors import NotFound
from sessions_app.models import AccessPolicy, Cluster, DocumentVersion

TYPES = ("policy", "cluster", "command set", "group", "webhook", "workflow source", "trust policy")
# How many versions a form offers as choices.
MOST_VERSIONS = 30


def versions_of(type_: str, name: str, reader: Identity) -> Sequence[DocumentVersion]:
    """Return every version of one document, newest first. Raises NotFound if there is none, or the reader
    can't see it.

    Administrators and approvers of a policy or cluster can read its history. Other histories are only for
    Stint administrators.
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


class Version(NamedTuple):
    """A version of a document, whose time a form offers for a comparison."""

    key: str
    label: str
    at: dt.datetime


def recent_versions(reader: Identity) -> list[Version]:
    """Return the latest versions of policies, clusters and groups, newest first, for Stint administrators."""
    if not reader.is_superuser:
        return []
    found = DocumentVersion.objects.filter(type__in=("policy", "cluster", "group")).order_by("-at", "-pk")
    return [
        Version(f"{one.type}/{one.name}/{one.number}", f"{one.type} {one.name} v{one.number}", one.at)
        for one in found.defer("document")[:MOST_VERSIONS]
    ]


def at_version(key: str) -> dt.datetime | None:
    """Return when a version was stored; None if there is no such version."""
    type_, _, rest = key.partition("/")
    name, _, number = rest.rpartition("/")
    if not number.isdecimal() or len(number) > 8:
        return None
    found = DocumentVersion.objects.filter(type=type_, name=name, number=int(number))
    return found.values_list("at", flat=True).first()
