"""The identities that a reader can see."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessPolicy, AccessRequest, Cluster

_SEEING = ("view", "approve", "administer")


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader can see: itself, its machines, and the requesters of visible
    requests.

    This includes the holders of visible grants, who are also their requesters.
    """
    return known_if(identity, sees=identity.is_superuser or sees_others(identity))


def known_if(identity: Identity, *, sees: bool) -> QuerySet[Identity]:
    """Return `known_people`. ``sees`` is whether the reader sees other people's requests."""
    if identity.is_superuser:
        return Identity.objects.all()
    if not sees:
        return Identity.objects.filter(answered_for_by(identity))
    asked = (
        AccessRequest.objects.visible_to(identity).filter(requester=OuterRef("pk")).order_by().values("pk")
    )
    # Not EXISTS, for which PostgreSQL would collect all requests to look up the fifty people of a page.
    looked_up: QuerySet[Identity] = Identity.objects.alias(asked=Subquery(asked[:1]))
    return looked_up.filter(answered_for_by(identity) | Q(asked__isnull=False))


def seen_through(identity: Identity) -> tuple[QuerySet[AccessPolicy], QuerySet[Cluster]]:
    """Return the policies and clusters under which the reader can see other people's requests."""
    return AccessPolicy.objects.held_by(identity, *_SEEING), Cluster.objects.held_by(identity, *_SEEING)


def sees_others(identity: Identity) -> bool:
    """Whether any permission lets the reader see other people's requests. Most people have no such
    permission, which saves a lookup.
    """
    if identity.held is None:
        return any(rows.exists() for rows in seen_through(identity))
    held = identity.held()
    return any(held.get((noun, f"{name}_{noun}")) for noun in ("accesspolicy", "cluster") for name in _SEEING)
