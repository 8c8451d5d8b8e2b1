"""Change the actor's own password."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.passwords import WrongPassword, check_password, store_password
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound


def set_password(
    *, identity_id: int, current: str, new: str, actor: Identity, address: str, now: dt.datetime
) -> Identity:
    """Change the actor's own password, given the current one. All earlier sessions end.

    Raises NotFound (another identity), Forbidden (a machine), WrongPassword, TooManyTries, InvalidInput
    (rejected by the password rules).
    """
    proven = Identity.objects.filter(pk=identity_id).first()
    if proven is None or proven.pk != actor.pk:
        raise NotFound("Identity not found.")
    check_password(proven, current, address=address, now=now)
    if new == current:
        raise InvalidInput("This is already your password.", fields={"new": ["Choose a different password."]})
    with transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).filter(pk=identity_id).first()
        # The password may have been changed after it was checked.
        if identity is None or identity.password != proven.password:
            raise WrongPassword
        store_password(identity, new)
        record(
            event=Event.IDENTITY_PASSWORD_CHANGED,
            actor=actor_of(actor),
            object_type="identity",
            object_ref=identity.username,
            data={},
            now=now,
        )
    return identity
