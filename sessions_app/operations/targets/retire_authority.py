"""Retire a certificate authority permanently."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from broker.kernel.lock import in_turn
from sessions_app.models import SigningKey


class StillSigns(Conflict):
    """The authority still signs, so it can't be retired. Rotate to the next authority first."""

    code = "still_signs"


def retire_authority(purpose: str, *, fingerprint: str, actor: Actor, now: dt.datetime) -> SigningKey:
    """Stop trusting an authority, and delete its private key.

    An authority that is already retired does not change. Raises NotFound or StillSigns.
    """
    with transaction.atomic():
        in_turn(purpose)
        key = SigningKey.objects.filter(purpose=purpose, fingerprint=fingerprint).first()
        if key is None:
            raise NotFound(
                f"Unknown authority {fingerprint}.",
                hint="Run the same command without a step to list the authorities.",
            )
        if key.is_active:
            raise StillSigns(
                f"{fingerprint} is the active signing key.", hint="Prepare another key and rotate first."
            )
        if key.retired_at is None:
            key.retired_at, key.sealed_private_key = now, b""
            key.save(update_fields=["retired_at", "sealed_private_key"])
            record(
                event=Event.CA_RETIRED,
                actor=actor,
                object_type="ca",
                object_ref=fingerprint,
                now=now,
                data={},
            )
    return key
