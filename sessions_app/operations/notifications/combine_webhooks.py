"""Combine one sender's messages to approvers into digests, for one webhook endpoint."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable

from django.conf import settings

from accounts.models import Identity
from sessions_app.models import WebhookEndpoint, WebhookMessage, WebhookState
from sessions_app.operations.notifications.notify_approvers import GATHERS, GATHERS_URGENT, MOST, PERIOD
from sessions_app.policy.webhooks import DIGEST_EVENT, Subject, message


def combine_webhooks(
    *, endpoint: WebhookEndpoint, found: Iterable[WebhookMessage], now: dt.datetime
) -> list[WebhookMessage]:
    """Return the messages to send separately: up to three an hour for each sender, and all messages without a
    sender.

    The other messages are added to the sender's digest. Call this with the endpoint locked.
    """
    sent = endpoint.messages.filter(sender__isnull=False, created_at__gt=now - PERIOD)
    told = Counter(sent.exclude(event=DIGEST_EVENT).values_list("sender__person", "urgent"))
    single = []
    for one in found:
        if one.sender is None:
            single.append(one)
            continue
        told[one.sender.person, one.urgent] += 1
        if told[one.sender.person, one.urgent] <= MOST:
            single.append(one)
        else:
            _add(one, one.sender, now)
    return single


def _add(one: WebhookMessage, sender: Identity, now: dt.datetime) -> None:
    """Add a message to the sender's open digest, or create a digest. A digest is no longer changed once
    its delivery has been attempted.
    """
    gathering = WebhookMessage.objects.filter(
        endpoint=one.endpoint,
        event=DIGEST_EVENT,
        sender__person=sender.person,
        urgent=one.urgent,
        state=WebhookState.PENDING,
        attempts=0,
    )
    digest = gathering.order_by("pk").last()
    if digest is not None:
        details = json.loads(digest.payload)["data"]["details"]
        payload = _payload(sender, details["count"] + 1, [*details["refs"], one.object_ref], now)
        if gathering.filter(pk=digest.pk).update(payload=payload):
            return
    WebhookMessage.objects.create(
        endpoint=one.endpoint,
        key=f"{one.key}_digest",
        event=DIGEST_EVENT,
        object_ref=sender.username,
        sender=sender,
        urgent=one.urgent,
        created_at=now,
        next_attempt_at=now + (GATHERS_URGENT if one.urgent else GATHERS),
        payload=_payload(sender, 1, [one.object_ref], now),
    )


def _payload(sender: Identity, count: int, refs: list[str], now: dt.datetime) -> str:
    about = Subject(
        type="identity", ref=sender.username, actor=sender.username, url=f"{settings.PUBLIC_URL}/approvals/"
    )
    data = {"count": count, "refs": list(dict.fromkeys(refs))}
    return message(event=DIGEST_EVENT, at=now, entry=None, about=about, data=data)
