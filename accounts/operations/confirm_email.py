"""Confirm the actor's own email address after an administrator changed it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound


class AddressChanged(Conflict):
    """The email address has changed since the confirmation page was opened. Reload the page."""

    code = "address_changed"


def confirm_email(*, identity_id: int, email: str, actor: Identity, now: dt.datetime) -> Identity:
    """Confirm the actor's own address, so that it can be used to link an account at the identity provider.
    Idempotent.

    Raises NotFound (another identity), AddressChanged.
    """
    with transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).filter(pk=identity_id).first()
        if identity is None or identity.pk != actor.pk:
            raise NotFound("Identity not found.")
        if email != identity.email:
            raise AddressChanged("Your email address has changed in the meantime.", hint="Reload the page.")
        if identity.email_unconfirmed:
            identity.email_unconfirmed = False
            identity.save(update_fields=["email_unconfirmed"])
            record(
                event=Event.IDENTITY_CHANGED,
                actor=actor_of(actor),
                object_type="identity",
                now=now,
                object_ref=identity.username,
                data={"confirmed": identity.email},
            )
    return identity
