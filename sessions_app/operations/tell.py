"""Tell people: a notice in the page for each, and a mail by the worker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.enqueue import enqueue
from sessions_app.models import Notice


def tell(
    *, people: Iterable[Identity], event: Event, subject: str, body: str, path: str, now: dt.datetime
) -> None:
    """Write a notice for each person once. The row is the mail's queue; machines are told through their owners."""
    wanted = {(person.owner or person).pk for person in people}
    notices = Notice.objects.bulk_create(
        Notice(identity_id=pk, event=event.value, subject=subject[:200], body=body, path=path, created_at=now,
               next_attempt_at=now)
        for pk in sorted(wanted)
    )  # fmt: skip
    for notice in notices:
        enqueue("notices.send", notice_id=notice.pk)
