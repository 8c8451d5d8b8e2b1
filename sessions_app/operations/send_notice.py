"""Mail one notice."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import transaction

from sessions_app.models import Notice
from sessions_app.notifications.base import Message, NotTold
from sessions_app.notifications.email import Email

# After about a day of trying, the notice in the page has to do.
MOST_ATTEMPTS = 12


def send_notice(*, notice_id: int, now: dt.datetime) -> None:
    """Mail a notice that is due, once; without an address, or when the server refuses it for good, it is only in the page."""
    with transaction.atomic():
        notice = (
            Notice.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("identity")
            .filter(pk=notice_id, mailed_at__isnull=True, next_attempt_at__lte=now)
            .first()
        )
        if notice is None:
            return
        notice.attempts += 1
        try:
            if notice.identity.email:
                Email().send(_message(notice))
            notice.mailed_at, notice.next_attempt_at = now, None
        except NotTold as error:
            over = error.permanent or notice.attempts >= MOST_ATTEMPTS
            wait = dt.timedelta(seconds=30 * 2 ** min(notice.attempts, 10))
            notice.next_attempt_at = None if over else now + wait
        notice.save(update_fields=["attempts", "mailed_at", "next_attempt_at"])


def _message(notice: Notice) -> Message:
    return Message(
        to=notice.identity.email,
        name=str(notice.identity),
        subject=notice.subject,
        body=notice.body,
        url=settings.PUBLIC_URL + notice.path,
    )
