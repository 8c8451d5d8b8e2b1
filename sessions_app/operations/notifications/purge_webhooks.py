"""Delete old webhook messages."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import WebhookMessage

KEPT = dt.timedelta(days=30)
BATCH = 5000


def purge_webhooks(*, now: dt.datetime) -> int:
    """Delete messages older than 30 days, up to 5,000 at a time, and return the number. Their events stay in
    the record.
    """
    old = WebhookMessage.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    count, _ = WebhookMessage.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return count
