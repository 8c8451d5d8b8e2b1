"""Send the queued messages of one endpoint."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from broker.audit.actor import Actor
from broker.kernel.crypto import CannotDecrypt
from sessions_app.models import WebhookEndpoint, WebhookMessage, WebhookState
from sessions_app.notifications.webhook import Answer, NotTaken, Post, Webhook
from sessions_app.operations.notifications.pause_webhook import pause
from sessions_app.operations.notifications.webhook_endpoint import inner_networks, signing_keys

# The retry schedule that Standard Webhooks recommends: about three days in total. Each delay has random
# jitter.
WAITS = tuple(
    dt.timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
JITTER = 0.2
# An endpoint that accepted no message for this long is paused until a person resumes it.
DEAD_AFTER = dt.timedelta(days=3)
# Backoff after a failure, so that a long queue overloads neither this endpoint nor the others.
FIRST_REST, LONGEST_REST = dt.timedelta(seconds=5), dt.timedelta(minutes=5)
# The time limit for one batch, in seconds, so that other endpoints don't wait long. If the process
# dies, another process takes over after CLAIM.
TURN = 20.0
CLAIM = dt.timedelta(minutes=2)
WATCHER = Actor.system("webhooks")


def deliver_webhooks(*, endpoint_id: int, now: Callable[[], dt.datetime]) -> int:
    """Send an endpoint's due messages one by one, and stop when the receiver rejects one. Return the number
    of accepted messages.

    Only one process does this at a time. No transaction is open while waiting for a receiver. Each message is
    sent at least once.
    """
    if not _claim(endpoint_id, now()):
        return 0
    began, sent = time.monotonic(), 0
    try:
        while time.monotonic() - began < TURN and (message := _next(endpoint_id, now())):
            if not _send(message, now):
                break
            sent += 1
    finally:
        WebhookEndpoint.objects.filter(pk=endpoint_id).update(busy_until=None)
    return sent


def due_endpoints(*, now: dt.datetime) -> list[int]:
    """Return the endpoints with due messages, longest waiting first."""
    waiting = WebhookMessage.objects.filter(state=WebhookState.PENDING, next_attempt_at__lte=now)
    free = _free(now).filter(pk__in=waiting.values("endpoint"))
    return list(free.order_by(F("sent_at").asc(nulls_first=True), "pk").values_list("pk", flat=True))


def _free(now: dt.datetime) -> Any:
    idle = Q(busy_until__isnull=True) | Q(busy_until__lte=now)
    rested = Q(rest_until__isnull=True) | Q(rest_until__lte=now)
    return WebhookEndpoint.objects.live().filter(idle, rested, paused_at__isnull=True)


def _claim(endpoint_id: int, now: dt.datetime) -> bool:
    return bool(_free(now).filter(pk=endpoint_id).update(busy_until=now + CLAIM))


def _next(endpoint_id: int, now: dt.datetime) -> WebhookMessage | None:
    """Return the next message. The attempt is counted before the message is sent, so that a message that
    crashes the process is not retried forever.
    """
    due = WebhookMessage.objects.filter(
        endpoint=endpoint_id,
        state=WebhookState.PENDING,
        next_attempt_at__lte=now,
        endpoint__paused_at__isnull=True,
        endpoint__removed_at__isnull=True,
    )
    message = due.select_related("endpoint").order_by("next_attempt_at", "pk").first()
    if message is None:
        return None
    counted = {"attempts": message.attempts + 1, "tried_at": now, "next_attempt_at": now + CLAIM}
    if not WebhookMessage.objects.filter(pk=message.pk).update(**counted):
        # The endpoint was removed in the meantime.
        return None
    message.attempts += 1
    return message


def _send(message: WebhookMessage, now: Callable[[], dt.datetime]) -> bool:
    try:
        answer = _post(message, now())
    except NotTaken as error:
        _not_taken(message, error, now())
        return False
    _taken(message, answer, now())
    return True


def _post(message: WebhookMessage, now: dt.datetime) -> Answer:
    endpoint = message.endpoint
    try:
        keys = signing_keys(endpoint, now)
    except CannotDecrypt as error:
        raise NotTaken(f"The webhook's signing key can't be read: {error}") from error
    post = Post(
        url=endpoint.url,
        key=message.key,
        timestamp=int(now.timestamp()),
        body=message.payload.encode(),
        secrets=keys,
    )
    return Webhook(agent=f"Stint/{settings.VERSION}", allowed=inner_networks()).send(post)


def _taken(message: WebhookMessage, answer: Answer, now: dt.datetime) -> None:
    with transaction.atomic():
        _write(
            message,
            state=WebhookState.SENT,
            sent_at=now,
            next_attempt_at=None,
            last_status=answer.status,
            last_error="",
            milliseconds=answer.milliseconds,
        )
        WebhookEndpoint.objects.filter(pk=message.endpoint_id).update(
            sent_at=now, failing_since=None, failures=0, rest_until=None
        )


def _not_taken(message: WebhookMessage, error: NotTaken, now: dt.datetime) -> None:
    over = message.attempts > len(WAITS)
    wait = None if over else _jittered(WAITS[message.attempts - 1])
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=message.endpoint_id)
        _write(
            message,
            state=WebhookState.FAILED if over else WebhookState.PENDING,
            next_attempt_at=None if wait is None else now + wait,
            last_status=error.status,
            last_error=error.message[:300],
            milliseconds=None,
        )
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.rest_until = now + _rest(endpoint.failures, error)
        endpoint.save(update_fields=["failures", "failing_since", "rest_until"])
        # No message was accepted between the first and the last attempt to send this one.
        dead = over and endpoint.failures >= message.attempts
        if endpoint.paused_at is None and (error.gone or dead or now - endpoint.failing_since >= DEAD_AFTER):
            why = error.message if error.gone else f"Deliveries failed for days. Last error: {error.message}"
            pause(endpoint, actor=WATCHER, reason=why, now=now, tell_owners=True)


def _write(message: WebhookMessage, **changes: Any) -> None:
    """Store the result of this attempt, unless the message was queued again in the meantime."""
    WebhookMessage.objects.filter(pk=message.pk, attempts=message.attempts).update(**changes)


def _jittered(wait: dt.timedelta) -> dt.timedelta:
    factor = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret depends on it
    return dt.timedelta(seconds=wait.total_seconds() * factor)


def _rest(failures: int, error: NotTaken) -> dt.timedelta:
    own = FIRST_REST.total_seconds() * 2.0 ** min(failures - 1, 10)
    return dt.timedelta(seconds=max(min(own, LONGEST_REST.total_seconds()), error.wait or 0))
