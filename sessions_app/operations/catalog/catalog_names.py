"""Check that the names in catalog documents exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.auth.models import Group

from accounts.models import Identity
from accounts.names import canonical_username
from broker.kernel.errors import InvalidInput
from sessions_app.models import (
    Cluster,
    CommandSet,
    WebhookEndpoint,
)
from sessions_app.policy.catalog import (
    Catalog,
)
from sessions_app.policy.policies import Who

# The permission that each section of a cluster's document grants.
CLUSTER_PERMISSIONS = {
    "requesters": "request_cluster",
    "approvers": "approve_cluster",
    "viewers": "view_cluster",
    "administrators": "administer_cluster",
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name in a document that does not exist: the document (`policies/web-work`), the type of object,
    and the name.
    """

    place: str
    what: str
    name: str

    @property
    def message(self) -> str:
        """Return the problem as text."""
        return f"unknown {self.what} {self.name}"


def unknown_names(catalog: Catalog, *, alone: bool = False) -> list[Unknown]:
    """Return every unknown name in the documents.

    With ``alone``, the documents themselves must define every object except identities.
    """
    known = {canonical_username(name) for name in Identity.objects.values_list("username", flat=True)}
    clusters, sets, groups = set(catalog.clusters), set(catalog.command_sets), set(catalog.groups)
    webhooks = set(catalog.webhooks)
    if not alone:
        webhooks |= set(WebhookEndpoint.objects.live().values_list("name", flat=True))
        clusters |= set(Cluster.objects.live().values_list("name", flat=True))
        sets |= set(CommandSet.objects.live().values_list("name", flat=True))
        groups |= set(Group.objects.values_list("name", flat=True))
    found: list[Unknown] = []

    def check(place: str, what: str, names: Iterable[str], among: set[str]) -> None:
        spelled = canonical_username if what == "identity" else str
        found.extend(Unknown(place, what, name) for name in names if spelled(name) not in among)

    for group in catalog.groups.values():
        check(f"groups/{group.name}", "identity", group.members, known)
    for source in catalog.sources.values():
        named = [*source.clusters, *(name for names in source.services.values() for name in names)]
        check(f"workflow-sources/{source.name}", "cluster", dict.fromkeys(named), clusters)
    for place, people in _named_people(catalog):
        check(place, "identity", people.identities, known)
        check(place, "group", people.groups, groups)
    for policy, _ in catalog.policies.values():
        place = f"policies/{policy.name}"
        check(place, "webhook", policy.webhooks, webhooks)
        check(place, "cluster", policy.clusters, clusters)
        check(place, "command set", policy.command_sets, sets)
        for who in (policy.requesters, policy.viewers, policy.administrators):
            check(place, "identity", who.identities if who else (), known)
        check(place, "group", policy.groups, groups)
    for trust, _ in catalog.trust_policies.values():
        check(f"trust-policies/{trust.name}", "identity", [trust.speaks_as], known)
    return found


def _named_people(catalog: Catalog) -> Iterator[tuple[str, Who]]:
    """Yield the people that clusters and webhooks name, each with the document that names them."""
    for cluster in catalog.clusters.values():
        for part in CLUSTER_PERMISSIONS:
            if who := getattr(cluster, part):
                yield f"clusters/{cluster.name}", who
    for webhook in catalog.webhooks.values():
        if webhook.owners:
            yield f"webhooks/{webhook.name}", webhook.owners


def check_names(catalog: Catalog, *, alone: bool = False) -> None:
    """Check that every name in the documents exists. Raises InvalidInput, which lists all unknown names."""
    problems: dict[str, list[str]] = {}
    for unknown in unknown_names(catalog, alone=alone):
        problems.setdefault(unknown.place, []).append(unknown.message)
    if problems:
        text = "; ".join(f"{place}: {'; '.join(texts)}" for place, texts in problems.items())
        raise InvalidInput(f"The catalog is not consistent. Nothing was changed: {text}.", fields=problems)
