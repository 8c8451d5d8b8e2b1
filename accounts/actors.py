"""Identities as they stand in the record."""

from __future__ import annotations

from accounts.models import Identity
from broker.audit.actor import Actor


def actor_of(identity: Identity) -> Actor:
    """Return the actor that the record names for an identity."""
    return Actor(name=identity.username, id=identity.pk, kind=identity.kind)  # type: ignore[arg-type]  # kinds agree
