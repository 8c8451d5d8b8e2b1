"""Reads about identities."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from accounts.models import Identity, SSHPublicKey


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who a proven key is."""

    id: int
    username: str
    key_id: int


def identity_by_fingerprint(fingerprint: str) -> KeyHolder | None:
    """Return the enabled identity that registered the key (`SHA256:…`), or None."""
    key = (
        SSHPublicKey.objects.filter(
            fingerprint=fingerprint, removed_at__isnull=True, identity__in=Identity.objects.active()
        )
        .select_related("identity")
        .first()
    )
    return KeyHolder(key.identity.pk, key.identity.username, key.pk) if key else None


def group_names(identity: Identity) -> frozenset[str]:
    """Return the names of the identity's groups."""
    return frozenset(identity.groups.values_list("name", flat=True))


def same_person(identity: Identity) -> Q:
    """Return the condition for every account that stands for the same person: itself, its owner, its machines, and
    accounts with the same mail address as itself or its owner.
    """
    owner = identity.owner or identity
    condition = Q(pk=identity.pk) | Q(pk=owner.pk) | Q(owner=owner)
    if owner.email:
        condition |= Q(email__iexact=owner.email)
    return condition
