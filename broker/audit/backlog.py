"""Ends go on while the record refuses: their entries are kept aside and appended when it takes entries again.

Only what takes access away, or gives none, may be kept aside. Whatever gives access uses ``record``, and fails with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog
from django.db import DatabaseError, connection, transaction

from broker.audit.actor import SYSTEM_PREFIX, Actor
from broker.audit.events import Event
from broker.audit.models import AuditBacklog
from broker.audit.record import Json, Unrecordable, check_in_transaction, record

logger = structlog.get_logger(__name__)

BATCH = 500


def record_end(
    *, event: Event, actor: Actor, object_type: str, object_ref: str, data: Mapping[str, Json], now: datetime
) -> None:
    """As ``record``, for an act that takes access away: when the record refuses, the entry is kept aside instead.

    What can't be recorded as it is, is left out with the reason. Raises NotInTransaction, and the database's errors
    when the entry can't be kept aside either.
    """
    # The savepoint below would pass for one.
    check_in_transaction(event, connection)
    fields = {
        "event": event,
        "actor": actor,
        "object_type": object_type,
        "object_ref": object_ref,
        "now": now,
    }
    try:
        with transaction.atomic():
            record(data=data, **fields)  # type: ignore[arg-type]  # the fields of record, by name
    except Unrecordable as error:
        record_end(data={"left_out": error.message}, **fields)  # type: ignore[arg-type]  # as above
    except DatabaseError:
        logger.exception("record.refuses", entry=event.value, object_ref=object_ref)
        AuditBacklog.objects.create(
            at=now, event=event, actor=actor.name, actor_id=actor.id, actor_kind=actor.kind,
            object_type=object_type, object_ref=object_ref, data=data,
        )  # fmt: skip


def catch_up(now: datetime) -> int:
    """Append what was kept aside, in order and with its own time, and return how much. Stops where the record refuses.

    Raises the database's errors.
    """
    with transaction.atomic():
        kept = list(AuditBacklog.objects.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        for entry in kept:
            record(
                event=Event(entry.event),
                actor=_actor(entry),
                object_type=entry.object_type,
                object_ref=entry.object_ref,
                data={**entry.data, "recorded_at": now.isoformat()},
                now=entry.at,
            )
        AuditBacklog.objects.filter(pk__in=[entry.pk for entry in kept]).delete()
    return len(kept)


def _actor(entry: AuditBacklog) -> Actor:
    if entry.actor_id is None:
        return Actor.system(entry.actor.removeprefix(SYSTEM_PREFIX))
    return Actor(name=entry.actor, id=entry.actor_id, kind=entry.actor_kind)  # type: ignore[arg-type]  # kept as given
