"""Orders, for the gateways that run them."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import CommandOrder

MOST = 100


def orders_to_claim(kind: str, now: dt.datetime) -> list[int]:
    """Return the ids of orders on clusters of one kind that are unclaimed and have not expired,
    oldest first.
    """
    waiting = CommandOrder.objects.filter(
        claimed_at__isnull=True, lapses_at__gt=now, grant__cluster__kind=kind
    ).order_by("pk")
    return list(waiting.values_list("pk", flat=True)[:MOST])
