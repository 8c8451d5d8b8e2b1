"""Set the time zone for pages."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound
from broker.kernel.zones import time_zones


def set_time_zone(*, identity_id: int, time_zone: str, actor: Identity, now: dt.datetime) -> Identity:
    """Set the actor's own time zone, an IANA name. Raises NotFound (another identity), InvalidInput (no such
    zone).
    """
    if time_zone not in time_zones():
        raise InvalidInput(
            f"“{time_zone}” is not a time zone.",
            hint="Use an IANA time zone, such as Europe/Berlin.",
            fields={"time_zone": ["Unknown."]},
        )
    with transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).filter(pk=identity_id).first()
        if identity is None or identity.pk != actor.pk:
            raise NotFound("Identity not found.")
        before = identity.time_zone
        identity.time_zone = time_zone
        identity.save(update_fields=["time_zone"])
        record(
            event=Event.IDENTITY_CHANGED,
            actor=actor_of(actor),
            object_type="identity",
            now=now,
            object_ref=identity.username,
            data={"time_zone": {"before": before, "now": time_zone}},
        )
    return identity
