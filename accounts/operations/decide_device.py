"""Authorize or deny a program by its device code."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.factors import ensure_recently_proven
from accounts.models import DeviceAuthorization, DeviceState, Identity
from accounts.operations.find_device import UnknownCode, find_device
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Forbidden


def decide_device(
    *, user_code: str, allow: bool, identity: Identity, address: str, now: dt.datetime
) -> DeviceAuthorization:
    """Authorize or deny the program with this code, once. An authorized program can get a token for this
    person.

    Raises UnknownCode (also for a used code), TooManyTries, Forbidden (for a machine), and ProofNeeded (only
    to authorize).
    """
    if not identity.is_person:
        raise Forbidden(
            "Only people can authorize programs.", hint="Create an API token for the machine instead."
        )
    if allow:
        ensure_recently_proven(identity, now)
    found = find_device(user_code=user_code, identity=identity, address=address, now=now)
    event = Event.IDENTITY_DEVICE_AUTHORIZED if allow else Event.IDENTITY_DEVICE_DENIED
    with transaction.atomic():
        state = DeviceState.ALLOWED if allow else DeviceState.DENIED
        waiting = DeviceAuthorization.objects.filter(pk=found.pk, state=DeviceState.PENDING)
        if not waiting.update(state=state, identity=identity, sign_in=identity.get_session_auth_hash()):
            raise UnknownCode("This code is not valid.", hint="The code has already been used.")
        record(
            event=event,
            actor=actor_of(identity),
            object_type="identity",
            object_ref=identity.username,
            now=now,
            data={"client": found.client_id, "scopes": found.scopes, "from": found.address},
        )
    found.refresh_from_db()
    return found
