"""Reads about identities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import APIToken, Identity, SSHPublicKey
from broker.kernel.crypto import token_digest


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
    """Whether the actor may give the identity a key or a token: its own and its machines', and nobody else's, for then
    the one could act as the other: also an administrator, who could ask as a machine and approve as a person.
    """
    return actor.pk in (identity.pk, identity.owner_id)


def registered_key(fingerprint: str) -> SSHPublicKey | None:
    """Return the key with that fingerprint, also one that was removed, or None."""
    return SSHPublicKey.objects.filter(fingerprint=fingerprint).first()


def removed_keys(fingerprints: Iterable[str]) -> frozenset[str]:
    """Return those of the fingerprints whose key was removed. One fingerprint is one key for ever."""
    removed = SSHPublicKey.objects.filter(fingerprint__in=list(fingerprints), removed_at__isnull=False)
    return frozenset(removed.values_list("fingerprint", flat=True))


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


def valid_token(text: str, now: dt.datetime) -> APIToken | None:
    """Return the API token with this text if it opens anything at ``now`` and its identity may act, else None.

    The identity is marked with the piece of work that the token is bound to: so marked, it sees and asks for no more.
    """
    token = _marked(text)
    return token if token is not None and token.is_valid(now) else None


def bound_token(text: str) -> APIToken | None:
    """Return the API token with this text if it is bound to a piece of work and was not revoked, however old it is; its
    identity may act and is marked, as `valid_token` says. Alone it opens nothing.
    """
    token = _marked(text)
    return token if token is not None and token.workflow and token.revoked_at is None else None


def _marked(text: str) -> APIToken | None:
    found = APIToken.objects.select_related("identity__owner").filter(
        digest=token_digest(text), identity__in=Identity.objects.active()
    )
    token = found.first()
    if token is not None:
        token.identity.bound_to = token.workflow
    return token
