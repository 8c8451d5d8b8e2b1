"""Set another person's password."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from accounts.passwords import store_password
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import NotFound


def reset_password(*, identity_id: int, new: str, actor: Actor, now: dt.datetime) -> Identity:
    """Set a person's password from a shell on the server. All the person's sessions end.

    Raises NotFound, Forbidden (a machine), InvalidInput (rejected by the password rules).
    """
    with transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).filter(pk=identity_id).first()
        if identity is None:
            raise NotFound("Identity not found.")
        store_password(identity, new)
        record(
            event=Event.IDENTITY_PASSWORD_CHANGED,
            actor=actor,
            object_type="identity",
            object_ref=identity.username,
            data={},
            now=now,
        )
    return identity
