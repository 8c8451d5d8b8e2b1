"""Delete old notifications."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import Q

from broker.kernel.batches import in_rounds
from sessions_app.models import Notice
from sessions_app.queries.record.holds import notice_held

# The maximum number of rows per transaction, and of transactions per run.
BATCH, ROUNDS = 5000, 20


def purge_notices(*, now: dt.datetime) -> int:
    """Delete notifications older than STINT_NOTICES_DAYS, up to 5,000 in each transaction, and return the
    number; 0 if they are kept forever. Notifications that are not mailed yet, or are under legal hold, stay.
    """
    if not settings.NOTICES_DAYS:
        return 0
    before = now - dt.timedelta(days=settings.NOTICES_DAYS)
    to_mail = Notice.objects.to_mail().values("pk")
    old = (
        Notice.objects.filter(created_at__lt=before)
        .exclude(pk__in=to_mail)
        .filter(~Q(notice_held()))
        .order_by("pk")
    )
    return in_rounds(old, BATCH, ROUNDS)
