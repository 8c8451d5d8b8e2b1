"""Delete what is left of old sign-ins."""

from __future__ import annotations

import datetime as dt

from django.contrib.sessions.models import Session

from accounts.models import AttemptCount, UsualAddress

BATCH = 5000


def purge_sign_ins(*, now: dt.datetime) -> int:
    """Delete expired browser sessions, 5,000 at a time, counts of attempts that no longer delay anyone, and addresses
    that are no longer usual. Return how many rows were deleted.

    Strangers have sessions as well: a sign-in that has begun waits in one.
    """
    old = Session.objects.filter(expire_date__lt=now).order_by("expire_date")
    sessions = Session.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH]))
    over = [model.objects.filter(until__lt=now) for model in (AttemptCount, UsualAddress)]
    return sum(rows.delete()[0] for rows in (sessions, *over))
