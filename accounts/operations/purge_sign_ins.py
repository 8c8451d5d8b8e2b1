"""Delete expired sessions and counts of attempts."""

from __future__ import annotations

import datetime as dt

from django.contrib.sessions.models import Session

from accounts.models import AttemptCount, UsualAddress

BATCH = 5000


def purge_sign_ins(*, now: dt.datetime) -> int:
    """Delete expired browser sessions (5,000 at a time), counts of attempts and usual addresses.

    Return the number of deleted rows. Every visit to the sign-in page creates a session, so there can be
    many.
    """
    old = Session.objects.filter(expire_date__lt=now).order_by("expire_date")
    sessions = Session.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH]))
    over = [model.objects.filter(until__lt=now) for model in (AttemptCount, UsualAddress)]
    return sum(rows.delete()[0] for rows in (sessions, *over))
