"""Do what a proven delivery says: end."""

from __future__ import annotations

import datetime as dt
from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet

from broker.kernel.each_free import each_free
from broker.kernel.enqueue import enqueue
from sessions_app.models import DeliveryState, InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.workflows.close_workflow import close_workflow

# A delivery that nobody has handled by then was dropped by a process that died.
LOST_AFTER = dt.timedelta(seconds=3)
# What meant nothing means nothing when it comes again.
KEPT = dt.timedelta(days=30)
BATCH = 2000


def handle_delivery(*, delivery_id: int, now: dt.datetime) -> InboundDelivery:
    """Close the open work that the delivery says is closed, with all access bound to it, in one transaction.

    Work that it says is open is asked about by the worker, for what is new of it. Work that is not known here stays so.
    """
    with transaction.atomic():
        # The source is not locked with it: what else it delivers is kept meanwhile.
        rows = InboundDelivery.objects.select_for_update(of=("self",)).select_related("source")
        delivery = rows.get(pk=delivery_id)
        if delivery.state != DeliveryState.RECEIVED:
            return delivery
        closed = 0
        for hint in delivery.hints:
            for workflow in _meant(delivery.source, hint):
                if hint["closed"]:
                    note = f"{delivery.source.name} reports it as closed."
                    close_workflow(workflow_id=workflow.pk, actor=None, now=now, note=note)
                    closed += 1
                else:
                    enqueue("workflows.read", workflow_id=workflow.pk)
        delivery.state, delivery.handled_at, delivery.closed = DeliveryState.HANDLED, now, closed
        delivery.save(update_fields=["state", "handled_at", "closed"])
    return delivery


def handle_lost_deliveries(*, now: dt.datetime) -> int:
    """Handle what no process has, and throw away what meant nothing a month ago; return how many were handled.

    What another process holds at this moment is left, and is come back to; so is what fails.
    """
    lost = InboundDelivery.objects.filter(state=DeliveryState.RECEIVED, received_at__lte=now - LOST_AFTER)
    failed: dict[str, str] = {}
    handled = each_free(lost.order_by("received_at"), partial(_handle, now=now), failed=failed)
    for key, error in failed.items():
        lost.filter(key=key).update(last_error=error)
    old = InboundDelivery.objects.filter(state=DeliveryState.IGNORED, received_at__lt=now - KEPT)
    InboundDelivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return handled


def _handle(delivery_id: int, *, now: dt.datetime) -> None:
    handle_delivery(delivery_id=delivery_id, now=now)


def _meant(source: WorkflowSource, hint: dict[str, object]) -> QuerySet[Workflow]:
    ours = Q(outside_id=hint["id"])
    if hint["whole"]:
        ours |= Q(outside_id__startswith=f"{hint['id']}:")
    return Workflow.objects.open().filter(ours, source=source).order_by("pk")
