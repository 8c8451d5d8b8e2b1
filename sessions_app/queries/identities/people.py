"""The identities that a reader can see."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessPolicy, AccessRequest, Cluster


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader can see: itself, its machines, and the requesters of visible
    requests.

    This includes the holders of visible grants, because each holder has requested their grant.
    """
    if identity.is_superuser:
        return Identity.objects.all()
    if not sees_others(identity):
        return Identity.objects.filter(answered_for_by(identity))
    asked = (
        AccessRequest.objects.visible_to(identity).filter(requester=OuterRef("pk")).order_by().values("pk")
    )
    # Not EXISTS, because PostgreSQL would collect all requests to look up the fifty people of a page in them.
    looked_up: QuerySet[Identity] = Identity.objects.alias(asked=Subquery(asked[:1]))
    return looked_up.filter(answered_for_by(identity) | Q(asked__isnull=False))


def seen_through(identity: Identity) -> tuple[QuerySet[AccessPolicy], QuerySet[Cluster]]:
    """Return the policies and clusters that let the reader see what others requested."""
    seeing = ("view", "approve", "administer")
    return AccessPolicy.objects.held_by(identity, *seeing), Cluster.objects.held_by(identity, *seeing)


def sees_others(identity: Identity) -> bool:
    """Whether any permission lets the reader see what others requested. Most people have none, which saves a
    lookup.
    """
    return any(rows.exists() for rows in seen_through(identity))
