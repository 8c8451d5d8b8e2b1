"""Mark a notification as read."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from broker.kernel.errors import NotFound
from sessions_app.models import Notice


def read_notice(*, notice_id: int, actor: Identity, now: dt.datetime) -> Notice:
    """Mark one of the actor's notifications as read.

    If it is already marked, the time of the first reading is kept. Raises NotFound.
    """
    notice = Notice.objects.visible_to(actor).filter(pk=notice_id).first()
    if notice is None:
        raise NotFound("Notification not found.")
    Notice.objects.filter(pk=notice.pk, read_at__isnull=True).update(read_at=now)
    notice.refresh_from_db()
    return notice
