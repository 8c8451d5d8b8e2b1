"""Send messages to a webhook endpoint again."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditEntry
from broker.audit.record import record
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import WebhookEndpoint, WebhookMessage, WebhookState
from sessions_app.operations.notifications.gather_webhooks import BATCH, queue
from sessions_app.operations.notifications.webhook_endpoint import lock_endpoint

LONGEST_BACK = dt.timedelta(days=30)
MOST = 10_000


class TooMuchToReplay(InvalidInput):
    """Too many events happened since that time to send them all again. Choose a later time."""

    code = "too_much_to_replay"


def replay_webhooks(
    *,
    endpoint_id: int,
    actor: Identity,
    now: dt.datetime,
    message_id: int | None = None,
    since: dt.datetime | None = None,
) -> int:
    """Send one message again, or all events since a time, including those never queued. Return the number of
    messages.

    Each message keeps its id, so that a receiver can recognize duplicates. Raises NotFound, InvalidInput,
    TooMuchToReplay.
    """
    if (message_id is None) == (since is None):
        raise InvalidInput(
            "Choose a message or a start time.", fields={"since": ["Choose a message or a start time."]}
        )
    with transaction.atomic():
        endpoint = lock_endpoint(endpoint_id, actor)
        count = _again(endpoint, now, pk=message_id) if since is None else _since(endpoint, since, now)
        if message_id is not None and not count:
            raise NotFound("Message not found.")
        record(
            event=Event.WEBHOOK_REPLAYED,
            actor=actor_of(actor),
            object_type="webhook",
            object_ref=endpoint.name,
            now=now,
            data={"count": count, "since": since.isoformat() if since else None},
        )
        enqueue("webhooks.send")
    return count


def _again(endpoint: WebhookEndpoint, now: dt.datetime, **which: object) -> int:
    """Reset messages in any state to their first attempt."""
    return WebhookMessage.objects.filter(endpoint=endpoint, **which).update(
        state=WebhookState.PENDING, next_attempt_at=now, attempts=0, last_error="", last_status=None
    )


def _since(endpoint: WebhookEndpoint, since: dt.datetime, now: dt.datetime) -> int:
    if not now - LONGEST_BACK <= since <= now:
        raise InvalidInput(
            "The start must be within the last 30 days.",
            fields={"since": ["Must be within the last 30 days."]},
        )
    entries = AuditEntry.objects.filter(
        log=MAIN_LOG, event__in=endpoint.events, at__gte=since, seq__lte=endpoint.after
    ).order_by("seq")
    numbers = list(entries.values_list("seq", flat=True)[: MOST + 1])
    if len(numbers) > MOST:
        raise TooMuchToReplay(f"This would send more than {MOST} messages.", hint="Choose a later start.")
    for start in range(0, len(numbers), BATCH):
        queue(endpoint, list(entries.filter(seq__in=numbers[start : start + BATCH])), now)
    return _again(endpoint, now, entry__in=numbers)
