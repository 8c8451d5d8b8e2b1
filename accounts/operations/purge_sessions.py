"""Delete expired browser sessions."""

from __future__ import annotations

import datetime as dt

from django.contrib.sessions.models import Session

BATCH = 5000


def purge_sessions(*, now: dt.datetime) -> int:
    """Delete expired browser sessions, 5,000 at a time. Return how many were deleted.

    Strangers have sessions as well: a sign-in that has begun waits in one.
    """
    old = Session.objects.filter(expire_date__lt=now).order_by("expire_date")
    count, _ = Session.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return count
