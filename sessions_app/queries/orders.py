"""Orders as gateways look for them."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import CommandOrder

MOST = 100


def orders_to_claim(now: dt.datetime) -> list[int]:
    """Return orders that nobody has claimed and that have not lapsed, the oldest first."""
    waiting = CommandOrder.objects.filter(claimed_at__isnull=True, lapses_at__gt=now).order_by("pk")
    return list(waiting.values_list("pk", flat=True)[:MOST])
