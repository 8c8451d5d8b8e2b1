"""Rotate the signing secret of a webhook endpoint."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput
from sessions_app.operations.notifications.webhook_endpoint import (
    keep_previous,
    lock_endpoint,
    new_secret,
    put_secret,
)

OVERLAP = dt.timedelta(hours=24)
LONGEST_OVERLAP = dt.timedelta(days=7)


def rotate_webhook_secret(
    *, endpoint_id: int, actor: Identity, now: dt.datetime, overlap: dt.timedelta = OVERLAP
) -> str:
    """Create a new secret for an endpoint that the actor owns, and return it. The secret is shown only once.

    During ``overlap``, at most 7 days, messages are also signed with the old secret, so that the receiver can
    switch. An overlap of zero retires the old secret immediately. Raises NotFound, InvalidInput.
    """
    if not dt.timedelta() <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(
            "The old secret can stay valid for at most 7 more days.", fields={"overlap": ["0s to 7d."]}
        )
    secret = new_secret()
    with transaction.atomic():
        endpoint = lock_endpoint(endpoint_id, actor)
        endpoint.sealed_previous, endpoint.previous_until = b"", None
        if overlap:
            keep_previous(endpoint)
            endpoint.previous_until = now + overlap
        put_secret(endpoint, secret)
        endpoint.save(update_fields=["sealed_previous", "previous_until", "sealed_secret"])
        record(
            event=Event.WEBHOOK_ROTATED,
            actor=actor_of(actor),
            object_type="webhook",
            object_ref=endpoint.name,
            now=now,
            data={"both_until": endpoint.previous_until.isoformat() if endpoint.previous_until else None},
        )
    return secret
