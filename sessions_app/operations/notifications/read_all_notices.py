"""Mark all notifications as read."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from sessions_app.models import Notice


def read_all_notices(*, newest: int, actor: Identity, now: dt.datetime) -> int:
    """Mark the actor's notifications as read, up to the newest one shown. Return how many were unread."""
    return Notice.objects.filter(identity=actor, pk__lte=newest, read_at__isnull=True).update(read_at=now)
