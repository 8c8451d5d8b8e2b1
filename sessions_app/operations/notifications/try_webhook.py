"""Send a test message to a webhook endpoint."""

from __future__ import annotations

import datetime as dt
import secrets

from django.conf import settings
from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.enqueue import enqueue
from sessions_app.models import WebhookMessage
from sessions_app.operations.notifications.webhook_endpoint import lock_endpoint
from sessions_app.policy.webhooks import TEST_EVENT, Subject, message


def try_webhook(*, endpoint_id: int, actor: Identity, now: dt.datetime) -> WebhookMessage:
    """Queue a test message, which does not report an event, for an endpoint that the actor owns.

    Raises NotFound.
    """
    with transaction.atomic():
        endpoint = lock_endpoint(endpoint_id, actor)
        about = Subject(
            type="webhook",
            ref=endpoint.name,
            actor=actor.username,
            url=f"{settings.PUBLIC_URL}/webhooks/{endpoint.name}/",
        )
        sent = WebhookMessage.objects.create(
            endpoint=endpoint,
            key=f"msg_{endpoint.pk}_test_{secrets.token_hex(8)}",
            event=TEST_EVENT,
            object_ref=endpoint.name,
            created_at=now,
            next_attempt_at=now,
            payload=message(event=TEST_EVENT, at=now, entry=None, about=about, data={}),
        )
        record(
            event=Event.WEBHOOK_TESTED,
            actor=actor_of(actor),
            object_type="webhook",
            object_ref=endpoint.name,
            now=now,
            data={"message": sent.key},
        )
        enqueue("webhooks.send")
    return sent
