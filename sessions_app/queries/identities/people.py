"""The identities that a reader can see."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessPolicy, AccessRequest, Cluster


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader can see: itself, its machines, and the requesters of visible
    requests.

    This includes the holders of visible grants, who are also their requesters.
    """
    if identity.is_superuser:
        return Identity.objects.all()
    if not sees_others(identity):
        return Identity.objects.filter(answered_for_by(identity))
    asked = (
        AccessRequest.objects.visible_to(identity).filter(requester=OuterRef("pk")).order_by().values("pk")
    )
    # Not EXISTS, for which PostgreSQL would collect all requests to look up the fifty people of a page.
    looked_up: QuerySet[Identity] = Identity.objects.alias(asked=Subquery(asked[:1]))
    return looked_up.filter(answered_for_by(identity) | Q(asked__isnull=False))


def seen_through(identity: Identity) -> tuple[QuerySet[AccessPolicy], QuerySet[Cluster]]:
    """Return the policies and clusters under which the reader can see other people's requests."""
    seeing = ("view", "approve", "administer")
    return AccessPolicy.objects.held_by(identity, *seeing), Cluster.objects.held_by(identity, *seeing)


def sees_others(identity: Identity) -> bool:
    """Whether any permission lets the reader see other people's requests. Most people have no such
    permission, which saves a lookup.
    """
    return any(rows.exists() for rows in seen_through(identity))
