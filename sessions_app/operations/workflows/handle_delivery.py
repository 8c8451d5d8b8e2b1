"""Apply a verified webhook delivery, which can only end access."""

from __future__ import annotations

import datetime as dt

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet

from broker.kernel.each_free import for_a_while
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import StintError
from sessions_app.models import DeliveryState, InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.workflows.close_workflow import close_workflow

log = structlog.get_logger(__name__)

# If a delivery is pending for longer than this, the process that was handling it must have died.
LOST_AFTER = dt.timedelta(seconds=3)
# A repeated delivery would be ignored again, so an ignored delivery can be deleted.
KEPT = dt.timedelta(days=30)
BATCH = 2000


def handle_delivery(*, delivery_id: int, now: dt.datetime) -> InboundDelivery:
    """Close the open workflows that the delivery reports as closed, and end all access bound to them.

    The worker reads workflows that the delivery reports as open from the source. Unknown workflows are
    ignored. If a workflow can't be closed now, the others are still closed; the error is raised at the end,
    and the delivery stays pending.
    """
    delivery = InboundDelivery.objects.select_related("source").get(pk=delivery_id)
    if delivery.state != DeliveryState.RECEIVED:
        return delivery
    over = {pk for hint in delivery.hints if hint["closed"] for pk in _meant(delivery.source, hint)}
    failed: Exception | None = None
    for pk in sorted(over):
        try:
            _close(delivery, pk, now)
        except (StintError, DatabaseError) as error:
            failed = error
    if failed is not None:
        raise failed
    _finish(delivery, now)
    delivery.refresh_from_db()
    return delivery


def _close(delivery: InboundDelivery, workflow_id: int, now: dt.datetime) -> None:
    """Close one workflow in its own transaction, so that a failure affects no other workflow."""
    with transaction.atomic():
        waiting = _lock(delivery)
        if waiting is None or not Workflow.objects.open().filter(pk=workflow_id).exists():
            return
        note = f"{delivery.source.name} reports the workflow as closed."
        close_workflow(workflow_id=workflow_id, actor=None, now=now, note=note)
        waiting.closed += 1
        waiting.save(update_fields=["closed"])


def _finish(delivery: InboundDelivery, now: dt.datetime) -> None:
    with transaction.atomic():
        waiting = _lock(delivery)
        if waiting is None:
            return
        current = [hint for hint in waiting.hints if not hint["closed"]]
        for pk in {pk for hint in current for pk in _meant(delivery.source, hint)}:
            enqueue("workflows.read", workflow_id=pk)
        waiting.state, waiting.handled_at = DeliveryState.HANDLED, now
        waiting.save(update_fields=["state", "handled_at"])


def _lock(delivery: InboundDelivery, *, skip_locked: bool = False) -> InboundDelivery | None:
    """Lock a delivery; None if it was handled in the meantime.

    The delivery's source is not locked, so that further deliveries can arrive.
    """
    rows = InboundDelivery.objects.select_for_update(skip_locked=skip_locked, no_key=True)
    return rows.filter(pk=delivery.pk, state=DeliveryState.RECEIVED).first()


def handle_lost_deliveries(*, now: dt.datetime) -> int:
    """Handle deliveries that no process is handling, delete ignored ones after a month, and return how many
    were handled.

    Deliveries that another process holds, and those that fail, are retried later.
    """
    lost = InboundDelivery.objects.filter(state=DeliveryState.RECEIVED, received_at__lte=now - LOST_AFTER)
    handled = sum(
        _handle_if_free(delivery, now) for delivery in for_a_while(list(lost.order_by("received_at")[:BATCH]))
    )
    old = InboundDelivery.objects.filter(state=DeliveryState.IGNORED, received_at__lt=now - KEPT)
    InboundDelivery.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return handled


def _handle_if_free(delivery: InboundDelivery, now: dt.datetime) -> bool:
    """Handle a delivery unless another process holds it, and return whether it was handled."""
    with transaction.atomic():
        if _lock(delivery, skip_locked=True) is None:
            return False
    try:
        handle_delivery(delivery_id=delivery.pk, now=now)
    except (StintError, DatabaseError) as error:
        log.exception("hook.failed", delivery=delivery.pk)
        why = f"{type(error).__name__}: {error}"
        InboundDelivery.objects.filter(pk=delivery.pk).update(last_error=why)
        return False
    return True


def _meant(source: WorkflowSource, hint: dict[str, object]) -> QuerySet[Workflow, int]:
    ours = Q(outside_id=hint["id"])
    if hint["whole"]:
        ours |= Q(outside_id__startswith=f"{hint['id']}:")
    return Workflow.objects.open().filter(ours, source=source).order_by("pk").values_list("pk", flat=True)
