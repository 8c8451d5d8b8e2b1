"""Delete expired browser sessions."""

from __future__ import annotations

import datetime as dt

from django.contrib.sessions.models import Session

BATCH = 5000


def purge_sessions(*, now: dt.datetime) -> int:
    """Delete sessions of browsers that are past their time, 5,000 at a time; return how many.

    Strangers have some as well: a sign-in that has begun waits in one.
    """
    old = Session.objects.filter(expire_date__lt=now).order_by("expire_date")
    count, _ = Session.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return count
