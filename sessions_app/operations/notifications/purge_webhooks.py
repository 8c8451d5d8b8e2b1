"""Delete old webhook messages."""

from __future__ import annotations

import datetime as dt

from broker.kernel.batches import in_rounds
from sessions_app.models import WebhookMessage

KEPT = dt.timedelta(days=30)
# The maximum number of rows per transaction, and of transactions per run.
BATCH, ROUNDS = 5000, 200


def purge_webhooks(*, now: dt.datetime) -> int:
    """Delete messages older than 30 days, up to 5,000 in each transaction, and return the number. Their
    events stay in the record.
    """
    old = WebhookMessage.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    return in_rounds(old, BATCH, ROUNDS)
