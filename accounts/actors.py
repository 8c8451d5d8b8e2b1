"""Actors of record entries for identities."""

from __future__ import annotations

from accounts.models import Identity
from broker.audit.actor import Actor


def actor_of(actor: Identity | Actor) -> Actor:
    """Return the record's actor for an identity. An Actor is returned unchanged."""
    if isinstance(actor, Actor):
        return actor
    return Actor(name=actor.username, id=actor.pk, kind=actor.kind)  # type: ignore[arg-type]  # kinds agree
