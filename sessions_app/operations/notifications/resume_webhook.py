"""Resume a webhook endpoint."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import Conflict
from sessions_app.models import WebhookEndpoint, WebhookState
from sessions_app.operations.notifications.webhook_endpoint import lock_endpoint


class NotPaused(Conflict):
    """The webhook is not paused, so there is nothing to resume."""

    code = "not_paused"


def resume_webhook(*, endpoint_id: int, actor: Identity, now: dt.datetime) -> WebhookEndpoint:
    """Send all queued messages, and new ones, to an endpoint that the actor owns. Raises NotFound,
    NotPaused.
    """
    with transaction.atomic():
        endpoint = lock_endpoint(endpoint_id, actor)
        if endpoint.paused_at is None:
            raise NotPaused(f"{endpoint} is not paused.", hint="Open the webhook to see its status.")
        endpoint.paused_at, endpoint.pause_reason = None, ""
        endpoint.failing_since, endpoint.failures, endpoint.rest_until = None, 0, None
        endpoint.save(update_fields=["paused_at", "pause_reason", "failing_since", "failures", "rest_until"])
        waiting = endpoint.messages.filter(state=WebhookState.PENDING).update(next_attempt_at=now)
        record(
            event=Event.WEBHOOK_RESUMED,
            actor=actor_of(actor),
            object_type="webhook",
            object_ref=endpoint.name,
            now=now,
            data={"waiting": waiting},
        )
        enqueue("webhooks.send")
    return endpoint
