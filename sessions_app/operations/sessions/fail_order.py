"""Record that a claimed order could not be run."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from sessions_app.models import CommandOrder


def fail_order(*, order_id: int, error: str, now: dt.datetime) -> None:
    """Record why an order did not run. An order that already has a run or an error does not change."""
    with transaction.atomic():
        order = (
            CommandOrder.objects.select_for_update(no_key=True, of=("self",))
            .select_related("grant", "target")
            .filter(pk=order_id, run__isnull=True, error="")
            .first()
        )
        if order is None:
            return
        order.error = error
        order.save(update_fields=["error"])
        record_end(
            event=Event.COMMAND_FINISHED,
            actor=Actor.system("gateway"),
            object_type="grant",
            object_ref=order.grant.ref,
            now=now,
            data={"order": order.pk, "target": order.target.name, "state": "failed", "reason": error},
        )
