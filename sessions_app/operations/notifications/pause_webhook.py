"""Pause a webhook endpoint."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict
from sessions_app.models import WebhookEndpoint
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.webhook_endpoint import lock_endpoint, owners_of

LONGEST = 200


class PausedAlready(Conflict):
    """The webhook is already paused."""

    code = "paused_already"


def pause_webhook(*, endpoint_id: int, actor: Identity, now: dt.datetime) -> WebhookEndpoint:
    """Stop sending to an endpoint that the actor owns. New messages are queued.

    Raises NotFound, PausedAlready.
    """
    with transaction.atomic():
        endpoint = lock_endpoint(endpoint_id, actor)
        if endpoint.paused_at is not None:
            raise PausedAlready(
                f"{endpoint} is already paused.", hint="Resume the webhook when the receiver works again."
            )
        pause(endpoint, actor=actor_of(actor), reason=f"by {actor.username}", now=now)
    return endpoint


def pause(
    endpoint: WebhookEndpoint, *, actor: Actor, reason: str, now: dt.datetime, tell_owners: bool = False
) -> None:
    """Pause a locked endpoint, and record it."""
    endpoint.paused_at, endpoint.pause_reason = now, reason[:LONGEST]
    endpoint.save(update_fields=["paused_at", "pause_reason"])
    record(
        event=Event.WEBHOOK_PAUSED,
        actor=actor,
        object_type="webhook",
        object_ref=endpoint.name,
        now=now,
        data={"reason": endpoint.pause_reason},
    )
    if tell_owners:
        notify(
            people=owners_of(endpoint),
            event=Event.WEBHOOK_PAUSED,
            now=now,
            path=f"/webhooks/{endpoint.name}/",
            subject=f"Webhook {endpoint} was paused",
            body=f"{reason}\nNew messages are queued. Fix the receiver, then resume the webhook on its page.",
        )
