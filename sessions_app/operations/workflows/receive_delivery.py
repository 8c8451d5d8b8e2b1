"""Receive a webhook delivery from a source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import structlog
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.models import DeliveryState, InboundDelivery, WorkflowSource
from sessions_app.operations.workflows.handle_delivery import handle_delivery
from sessions_app.operations.workflows.workflow_sources import adapter_of, secrets_of
from sessions_app.workflows.base import MAX_DELIVERY, Delivery, DeliveryRefused, Hint

log = structlog.get_logger(__name__)

HOOKS = Actor.system("hooks")
# A flood of deliveries adds at most one entry per this interval to the record.
RECORDED_EVERY = dt.timedelta(minutes=1)
MOST_HINTS = 1000


class NotFromSource(StintError):
    """The webhook's signature is missing, wrong or too old. It had no effect. Check the secret of
    the source.
    """

    code = "not_from_source"
    status = 401


class DeliveryTooLarge(StintError):
    """The webhook delivery is too large. Configure the source to send less."""

    code = "delivery_too_large"
    status = 413


def receive_delivery(
    *, source: str, headers: Mapping[str, str], body: bytes | None, now: dt.datetime
) -> InboundDelivery:
    """Store a delivery whose signature over the raw bytes is valid, and immediately close the workflows that
    it reports as closed.

    ``headers`` have lowercase names. ``body`` is None if the body was too large to be read. A repeated
    delivery changes nothing. If a delivery can't be handled now, the worker handles it later, from the
    stored row. Rejected deliveries are counted, and recorded once a minute. A delivery never
    creates workflows or starts access. Raises NotFound, DeliveryTooLarge, NotFromSource, InvalidInput (no
    JSON), SourceUnreadable.
    """
    kept = WorkflowSource.objects.live().filter(name=source).first()
    if kept is None:
        raise NotFound("Workflow source not found.")
    if body is None or len(body) > MAX_DELIVERY:
        _note_refused(kept, "The delivery is too large.", now)
        raise DeliveryTooLarge(f"A delivery can be at most {MAX_DELIVERY // 1024} KiB.")
    adapter = adapter_of(kept)
    try:
        proven = adapter.verify_webhook(headers, body, list(filter(None, secrets_of(kept).webhook)), now)
    except DeliveryRefused as error:
        _note_refused(kept, str(error), now)
        raise NotFromSource(
            "The signature of the delivery is not valid.",
            hint=f"{error} Stint and the source must use the same secret.",
        ) from error
    try:
        hints = adapter.parse(body)[:MOST_HINTS]
    except (ValueError, RecursionError) as error:
        _note_refused(kept, "The delivery is signed, but it is not valid JSON.", now)
        raise InvalidInput(
            "The delivery is not valid JSON.", hint="Configure the source to send application/json."
        ) from error
    delivery, new = _keep(kept, proven, hints, now)
    if new and delivery.state == DeliveryState.RECEIVED:
        return _handled(delivery, now)
    return delivery


def _keep(
    source: WorkflowSource, proven: Delivery, hints: list[Hint], now: dt.datetime
) -> tuple[InboundDelivery, bool]:
    said = [{"id": hint.outside_id, "closed": hint.closed, "whole": hint.whole} for hint in hints]
    state = DeliveryState.RECEIVED if said else DeliveryState.IGNORED
    try:
        with transaction.atomic():
            return (
                InboundDelivery.objects.create(
                    source=source,
                    key=proven.key,
                    event=proven.event,
                    hints=said,
                    state=state,
                    received_at=now,
                ),
                True,
            )
    except IntegrityError:
        return InboundDelivery.objects.get(source=source, key=proven.key), False


def _handled(delivery: InboundDelivery, now: dt.datetime) -> InboundDelivery:
    try:
        return handle_delivery(delivery_id=delivery.pk, now=now)
    except (StintError, DatabaseError) as error:
        # The delivery is stored, and the worker handles it within seconds, so the source does not have to
        # send it again.
        log.exception("hook.put_off", source=delivery.source.name, error=type(error).__name__)
        return delivery


def _note_refused(source: WorkflowSource, reason: str, now: dt.datetime) -> None:
    WorkflowSource.objects.filter(pk=source.pk).update(refused=F("refused") + 1)
    long_ago = Q(refused_recorded_at__isnull=True) | Q(refused_recorded_at__lte=now - RECORDED_EVERY)
    with transaction.atomic():
        # Deliveries from the source can be stored concurrently only with `no_key`.
        rows = WorkflowSource.objects.select_for_update(skip_locked=True, no_key=True)
        row = rows.filter(long_ago, pk=source.pk).first()
        if row is None:
            return
        count, row.refused, row.refused_recorded_at = row.refused, 0, now
        row.save(update_fields=["refused", "refused_recorded_at"])
        record(
            event=Event.SOURCE_REFUSED,
            actor=HOOKS,
            object_type="workflow_source",
            object_ref=source.name,
            now=now,
            data={"reason": reason, "count": count},
        )
