"""Which identities somebody may see."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessRequest, Grant


def known_people(identity: Identity) -> QuerySet[Identity]:
    """Return the identities that the reader may see: oneself, one's machines, and whoever asked for or holds what one sees."""
    if identity.is_superuser:
        return Identity.objects.all()
    return Identity.objects.filter(
        Q(pk=identity.pk)
        | Q(owner=identity)
        | Exists(Grant.objects.visible_to(identity).filter(holder=OuterRef("pk")))
        | Exists(AccessRequest.objects.visible_to(identity).filter(requester=OuterRef("pk")))
    )
