"""Which identities somebody may see."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import Identity, answered_for_by
from sessions_app.models import AccessPolicy, AccessRequest, Cluster


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader may see: oneself, one's machines, and whoever asked for something that one sees.

    Whoever holds a grant has asked for it.
    """
    if identity.is_superuser:
        return Identity.objects.all()
    if not sees_others(identity):
        return Identity.objects.filter(answered_for_by(identity))
    asked = (
        AccessRequest.objects.visible_to(identity).filter(requester=OuterRef("pk")).order_by().values("pk")
    )
    # Not EXISTS: PostgreSQL would gather all requests there are, to look a page of fifty people up in them.
    looked_up: QuerySet[Identity] = Identity.objects.alias(asked=Subquery(asked[:1]))
    return looked_up.filter(answered_for_by(identity) | Q(asked__isnull=False))


def sees_others(identity: Identity) -> bool:
    """Whether any permission lets the reader see what others asked for. Most have none, and need no looking up."""
    seeing = ("view", "approve", "administer")
    return (
        AccessPolicy.objects.held_by(identity, *seeing).exists()
        or Cluster.objects.held_by(identity, *seeing).exists()
    )


def may_look(identity: Identity) -> bool:
    """Whether the identity can come to see anybody besides itself: an administrator, an owner, or who looks into something."""
    return identity.is_superuser or identity.machines.exists() or sees_others(identity)
