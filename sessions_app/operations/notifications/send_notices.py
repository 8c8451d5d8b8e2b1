"""Send the emails of notifications that are due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import closing

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.postgresql.rows import ask
from broker.kernel.text import recordable
from sessions_app.models import Asks, Notice
from sessions_app.notifications.base import Message, NotReached, NotSent
from sessions_app.notifications.email import Email
from sessions_app.operations.notifications.notify import notify
from sessions_app.queries.notifications.notices import digest_waits

log = structlog.get_logger(__name__)

MAILER = Actor.system("mail")
# After attempts for about a day, the notification is shown only in the app.
MOST_ATTEMPTS = 12
# Small, so that only a few notifications wait if the process that claimed them dies.
BATCH = 10
# Longer than the mail server's timeouts. After this, another process takes over from a process that died.
CLAIM = dt.timedelta(minutes=5)
FIRST_WAIT = dt.timedelta(minutes=1)
# The email backend that the settings choose if there is no mail server.
_NO_SERVER = "django.core.mail.backends.dummy.EmailBackend"
# Within this time, administrators are notified only once about a person who can't be reached by email.
TOLD_AGAIN = dt.timedelta(days=1)


def send_notices(*, now: Callable[[], dt.datetime]) -> int:
    """Mail due notifications in small batches, longest waiting first, until none is left or the server can't
    be reached. Return the number of mails sent.

    Without an email address or a mail server, a notification is shown only in the app. Stint stops mailing
    a notification if the server refuses it permanently, if the address is invalid, or after a dozen
    failures, and then notifies administrators. A digest isn't mailed if none of its items is still open.

    Any number of processes can run this at the same time: each claims its own notifications. No transaction
    is open while waiting for the server.
    """
    if settings.EMAIL_BACKEND == _NO_SERVER:
        _drop(now())
        return 0
    mailed = 0
    with closing(Email()) as email:
        while batch := _claim(now()):
            for place, notice in enumerate(batch):
                try:
                    mailed += _mail(notice, email, now)
                except NotReached:
                    _give_back(batch[place + 1 :])
                    return mailed
    return mailed


_IS_DUE = """
SELECT 1 FROM sessions_app_notice
 WHERE mailed_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= %s LIMIT 1
"""


def mail_is_due(*, now: dt.datetime) -> bool:
    """Whether a notification is due to be mailed."""
    return bool(ask(_IS_DUE, now))


def _due(now: dt.datetime) -> QuerySet[Notice]:
    return Notice.objects.to_mail().filter(next_attempt_at__lte=now)


def _claim(now: dt.datetime) -> list[Notice]:
    """Claim a few unclaimed notifications, each with the time at which it was due."""
    with transaction.atomic():
        free = (
            _due(now)
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("identity")
        )
        batch = list(free.order_by("next_attempt_at", "pk")[:BATCH])
        Notice.objects.filter(pk__in=[notice.pk for notice in batch]).update(next_attempt_at=now + CLAIM)
    return batch


def _give_back(batch: Sequence[Notice]) -> None:
    """Release the claims on notifications that were not attempted."""
    for notice in batch:
        _tried(notice).update(next_attempt_at=notice.next_attempt_at)


def _mail(notice: Notice, email: Email, now: Callable[[], dt.datetime]) -> int:
    """Try to mail one notification, and return the number of mails sent. Raises NotReached if the server
    can't be reached, so that other mails would also fail.
    """
    if notice.asks == Asks.DIGEST and not digest_waits(notice, now()):
        # The items were decided, or the reader has seen the notification in the app.
        _tried(notice).update(next_attempt_at=None)
        return 0
    if not _begin(notice, now()):
        return 0
    try:
        _send(notice, email)
    except NotSent as error:
        _not_told(notice, error, now())
        if isinstance(error, NotReached):
            raise
        return 0
    _tried(notice).update(mailed_at=now(), next_attempt_at=None, last_error="")
    return 1


_DROP = """
WITH due AS (SELECT id FROM sessions_app_notice
              WHERE mailed_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= %s
              ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
UPDATE sessions_app_notice n SET next_attempt_at = NULL FROM due WHERE n.id = due.id
RETURNING n.id, coalesce((SELECT ref FROM sessions_app_grant WHERE id = n.grant_id),
                         (SELECT 'REQ-' || number FROM sessions_app_accessrequest WHERE id = n.request_id),
                         '')
"""


def _drop(now: dt.datetime) -> None:
    """Show the due notifications only in the app. They are not mailed later either, even if a mail
    server is then configured.
    """
    for pk, about in sorted(ask(_DROP, now)):
        log.info("mail.dropped", notice=pk, about=about, why="STINT_SMTP_HOST is not set")


def _send(notice: Notice, email: Email) -> None:
    try:
        if to := _addresses(notice):
            email.send(_message(notice, to))
    except NotSent:
        raise
    except Exception as error:  # an unexpected error with one mail must not delay the others
        log.exception("mail.failed", notice=notice.pk)
        raise NotSent(f"Mail could not be sent: {type(error).__name__}: {error}", permanent=False) from error


def _begin(notice: Notice, now: dt.datetime) -> bool:
    """Count the attempt before mailing, and renew the claim. Return whether the attempt may be made."""
    if notice.attempts >= MOST_ATTEMPTS:
        _give_up(notice, "Sending this mail repeatedly crashed the mail process.", now)
        return False
    if not _tried(notice).update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM):
        return False
    notice.attempts += 1
    return True


def _tried(notice: Notice) -> QuerySet[Notice]:
    """Return the notification if no other process has tried to mail it since; otherwise None."""
    return Notice.objects.to_mail().filter(pk=notice.pk, attempts=notice.attempts)


def _not_told(notice: Notice, error: NotSent, now: dt.datetime) -> None:
    why = recordable(error.message)
    if error.permanent or notice.attempts >= MOST_ATTEMPTS:
        _give_up(notice, why, now)
        return
    wait = FIRST_WAIT * 2 ** min(notice.attempts - 1, 9)
    _tried(notice).update(next_attempt_at=now + wait, last_error=why)


def _give_up(notice: Notice, why: str, now: dt.datetime) -> None:
    with transaction.atomic():
        given_up = _tried(notice).update(given_up_at=now, next_attempt_at=None, last_error=why)
        if given_up and not _was_told_of(notice.identity, now):
            _tell_administrators(notice, why, now)
    log.warning(
        "mail.given_up", notice=notice.pk, to=notice.identity.username, attempts=notice.attempts, error=why
    )


def _was_told_of(person: Identity, now: dt.datetime) -> bool:
    """Whether administrators were recently notified that the person can't be reached. This also stops a loop
    if the person is an administrator.
    """
    lately = Notice.objects.filter(event=Event.IDENTITY_MAIL_FAILED, created_at__gt=now - TOLD_AGAIN)
    return lately.filter(path=_page(person)).exists()


def _tell_administrators(notice: Notice, why: str, now: dt.datetime) -> None:
    person = notice.identity
    administrators = list(Identity.objects.active().filter(is_superuser=True))
    record(
        event=Event.IDENTITY_MAIL_FAILED,
        actor=MAILER,
        object_type="identity",
        object_ref=person.username,
        now=now,
        data={
            "attempts": notice.attempts,
            "error": why,
            "notified": sorted(one.username for one in administrators),
        },
    )
    notify(
        people=administrators,
        event=Event.IDENTITY_MAIL_FAILED,
        now=now,
        path=_page(person),
        subject=f"Mail to {person} could not be delivered",
        body=(
            f"{why}\nThe notification is still in the app. Check the email address of {person} and the mail"
            " server."
        ),
    )


def _page(person: Identity) -> str:
    return f"/people/{person.username}/"


def _addresses(notice: Notice) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (notice.identity.email, notice.also_to))))


def _message(notice: Notice, to: tuple[str, ...]) -> Message:
    return Message(
        to=to,
        name=str(notice.identity),
        subject=notice.subject,
        body=notice.body,
        url=settings.PUBLIC_URL + notice.path,
    )
