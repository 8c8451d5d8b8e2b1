"""Do what a proven delivery says: end."""

from __future__ import annotations

import datetime as dt

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet

from broker.kernel.enqueue import enqueue
from broker.kernel.errors import StintError
from sessions_app.models import DeliveryState, InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.close_workflow import close_workflow

log = structlog.get_logger(__name__)

# A delivery that nobody has handled by then was dropped by a process that died.
LOST_AFTER = dt.timedelta(seconds=3)
# What meant nothing means nothing when it comes again.
KEPT = dt.timedelta(days=30)
BATCH = 200


def handle_delivery(*, delivery_id: int, now: dt.datetime) -> InboundDelivery:
    """Close the open work that the delivery says is closed, with all access bound to it, in one transaction.

    Work that it says is open is asked about by the worker, for what is new of it. Work that is not known here stays so.
    """
    with transaction.atomic():
        delivery = InboundDelivery.objects.select_for_update().select_related("source").get(pk=delivery_id)
        if delivery.state != DeliveryState.RECEIVED:
            return delivery
        closed = 0
        for hint in delivery.hints:
            for work in _meant(delivery.source, hint):
                if hint["closed"]:
                    note = f"{delivery.source.name} says that it is over."
                    close_workflow(workflow_id=work.pk, actor=None, now=now, note=note)
                    closed += 1
                else:
                    enqueue("workflows.read", workflow_id=work.pk)
        delivery.state, delivery.handled_at, delivery.closed = DeliveryState.HANDLED, now, closed
        delivery.save(update_fields=["state", "handled_at", "closed"])
    return delivery


def handle_lost_deliveries(*, now: dt.datetime) -> int:
    """Handle what no process has, and throw away what meant nothing a month ago; return how many were handled."""
    lost = InboundDelivery.objects.filter(state=DeliveryState.RECEIVED, received_at__lte=now - LOST_AFTER)
    handled = 0
    for pk in list(lost.order_by("received_at").values_list("pk", flat=True)[:BATCH]):
        try:
            handle_delivery(delivery_id=pk, now=now)
            handled += 1
        except (StintError, DatabaseError) as error:
            log.exception("hook.unhandled", delivery=pk)
            InboundDelivery.objects.filter(pk=pk).update(last_error=f"{type(error).__name__}: {error}")
    old = InboundDelivery.objects.filter(state=DeliveryState.IGNORED, received_at__lt=now - KEPT)
    InboundDelivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[: BATCH * 10])).delete()
    return handled


def _meant(source: WorkflowSource, hint: dict[str, object]) -> QuerySet[Workflow]:
    ours = Q(outside_id=hint["id"])
    if hint["whole"]:
        ours |= Q(outside_id__startswith=f"{hint['id']}:")
    return Workflow.objects.open().filter(ours, source=source).order_by("pk")
