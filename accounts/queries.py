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


def may_give_credentials(actor: Identity, identity: Identity) -> bool:
    """Whether the actor may give the identity a key or a token: its own, its machine's, and, as an administrator, any
    machine's, but never another person's, for then the one could act as the other.
    """
    if actor.pk in (identity.pk, identity.owner_id):
        return True
    return actor.is_superuser and not identity.is_person


def group_names(identity: Identity) -> frozenset[str]:
    """Return the names of the identity's groups."""
    return frozenset(identity.groups.values_list("name", flat=True))


def same_person(identity: Identity) -> Q:
    """Return the condition for every account that stands for the same person: itself, its owner, its machines, and
    accounts with the same mail address as itself or its owner.
    """
    owner = identity.owner or identity
    condition = Q(pk=identity.pk) | Q(pk=owner.pk) | Q(owner=owner)
    for address in {identity.email, owner.email} - {""}:
        condition |= Q(email__iexact=address)
    return condition
