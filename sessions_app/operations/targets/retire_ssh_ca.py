"""Put a certificate authority out of use for good."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import SigningKey
from sessions_app.queries.authority import SSH_USER_CA


class StillSigns(Conflict):
    """The authority that signs can't be retired: nothing could be used any more."""

    code = "still_signs"


def retire_ssh_ca(*, fingerprint: str, actor: Actor, now: dt.datetime) -> SigningKey:
    """Take an authority from those that targets should trust, and forget its private key.

    Raises NotFound and StillSigns. One that is retired already stays so.
    """
    with transaction.atomic():
        key = (
            SigningKey.objects.select_for_update()
            .filter(purpose=SSH_USER_CA, fingerprint=fingerprint)
            .first()
        )
        if key is None:
            raise NotFound(f"Unknown authority {fingerprint}.", hint="`manage.py ssh_ca` lists them.")
        if key.is_active:
            raise StillSigns(
                f"{fingerprint} is the active signing key.", hint="Prepare another and rotate first."
            )
        if key.retired_at is None:
            key.retired_at, key.sealed_private_key = now, b""
            key.save(update_fields=["retired_at", "sealed_private_key"])
            record(
                event=Event.CA_RETIRED, actor=actor, object_type="ca", object_ref=fingerprint, now=now, data={}
            )  # fmt: skip
    return key
