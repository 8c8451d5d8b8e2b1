"""Notify holders before their access ends."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import F

from broker.audit.events import Event
from sessions_app.models import Asks, Grant, GrantState
from sessions_app.operations.notifications.notify import notify

# How long before the end holders are notified, if the grant lasts at least ``LONG``. Shorter grants need no
# notification.
SOON, LONG = dt.timedelta(minutes=15), dt.timedelta(minutes=45)
BATCH = 200


def warn_holders(*, now: dt.datetime) -> int:
    """Notify the holders of grants that end within 15 minutes, once for each grant, and return the number.

    Run this every few seconds.

    After an extension, holders are notified again before the new end.
    """
    with transaction.atomic():
        due = list(
            Grant.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(state=GrantState.ACTIVE, warned_at__isnull=True)
            .filter(expires_at__gt=now, expires_at__lte=now + SOON, expires_at__gte=F("starts_at") + LONG)
            .select_related("holder__owner", "cluster", "command_set_version__command_set")
            .order_by("expires_at")[:BATCH]
        )
        Grant.objects.filter(pk__in=[grant.pk for grant in due]).update(warned_at=now)
        for grant in due:
            _warn(grant, now)
    return len(due)


def _warn(grant: Grant, now: dt.datetime) -> None:
    what = f"{grant.command_set_version.command_set} on {grant.cluster}"
    notify(
        people=[grant.holder],
        event=Event.GRANT_ACTIVE,
        now=now,
        path=f"/grants/{grant.ref}/",
        asks=Asks.TIME,
        of=grant,
        subject=lambda say: f"{grant.ref} ends at {say.hour(grant.expires_at)}: {what}",
        body="If you need more time and the policy allows it, extend the grant on its page.",
    )
