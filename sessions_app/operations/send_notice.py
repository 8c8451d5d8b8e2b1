"""Mail one notice."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import F

from sessions_app.models import Notice
from sessions_app.notifications.base import Message, NotTold
from sessions_app.notifications.email import Email

# After about a day of trying, the notice in the page has to do.
MOST_ATTEMPTS = 12
# Longer than a mail server may be waited for; a worker that died over it is taken over after this.
CLAIM = dt.timedelta(minutes=5)


def send_notice(*, notice_id: int, now: dt.datetime) -> None:
    """Mail a notice that is due, once; without an address, or when the server refuses it for good, it is only in the page.

    No transaction is open while the server is waited for.
    """
    due = Notice.objects.filter(pk=notice_id, mailed_at__isnull=True, next_attempt_at__lte=now)
    if not due.update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM):
        return
    notice = Notice.objects.select_related("identity").get(pk=notice_id)
    try:
        if _addresses(notice):
            Email().send(_message(notice))
        mailed_at, again = now, None
    except NotTold as error:
        over = error.permanent or notice.attempts >= MOST_ATTEMPTS
        wait = dt.timedelta(seconds=30 * 2 ** min(notice.attempts, 10))
        mailed_at, again = None, None if over else now + wait
    Notice.objects.filter(pk=notice_id, attempts=notice.attempts).update(
        mailed_at=mailed_at, next_attempt_at=again
    )


def _addresses(notice: Notice) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (notice.identity.email, notice.also_to))))


def _message(notice: Notice) -> Message:
    return Message(
        to=_addresses(notice),
        name=str(notice.identity),
        subject=notice.subject,
        body=notice.body,
        url=settings.PUBLIC_URL + notice.path,
    )
