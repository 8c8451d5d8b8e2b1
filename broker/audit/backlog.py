"""The backlog of entries that the record could not accept. They are appended when it accepts entries again,
so that access can always end.

Only entries for actions that remove access, or give none, go to the backlog. Actions that give access use
``record``, and fail if it fails. The database itself adds a commit's rejected entries to the backlog
(``audit_append_pending``); this module does so for entries that the database rejects before the commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from django.db import DatabaseError, DataError, connection, transaction

from broker.audit.actor import SYSTEM_PREFIX, Actor
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditAttempt, AuditBacklog
from broker.audit.record import (
    MAX_NAME,
    Json,
    Unrecordable,
    as_recorded,
    check_in_transaction,
    record,
    record_many,
)
from broker.kernel.text import recordable

logger = structlog.get_logger(__name__)

BATCH = 500
# The maximum length, in characters, of each value that is kept from an entry that can't be recorded.
LONGEST = 1000
CATCHER = Actor.system("record")


def record_end(
    *, event: Event, actor: Actor, object_type: str, object_ref: str, data: Mapping[str, Json], now: datetime
) -> None:
    """Record an action that removes access, like ``record``. If the record rejects the entry or takes too
    long, the entry goes to the backlog.

    Data that can't be recorded is replaced by the reason. Raises NotInTransaction, and the database's errors
    if the backlog also fails.
    """
    record_ends(event=event, actor=actor, object_type=object_type, entries=[(object_ref, data)], now=now)


def record_ends(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
    now: datetime,
) -> None:
    """Record many ends that one action caused, like ``record_end``."""
    # Check first, because the savepoint below would count as a transaction.
    check_in_transaction(event, connection)
    kept = [fitting(ref, data) for ref, data in entries]
    try:
        with transaction.atomic():
            record_many(
                event=event, actor=actor, object_type=object_type, entries=kept, now=now, can_wait=True
            )
    except DatabaseError as error:
        logger.warning("record.refuses", entry=event.value, objects=len(kept), cause=str(error))
        AuditBacklog.objects.bulk_create(
            AuditBacklog(
                at=now,
                event=event,
                actor=actor.name,
                actor_id=actor.id,
                actor_kind=actor.kind,
                object_type=object_type,
                object_ref=object_ref,
                data=data,
            )
            for object_ref, data in kept
        )


def fitting(ref: str, data: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
    """Return the name and data in a form that the record accepts: a rejected entry would block the backlog
    behind it.
    """
    try:
        kept = as_recorded(data)
    except Unrecordable as error:
        kept = {"left_out": recordable(error.message)[:LONGEST]}
    return recordable(ref)[:MAX_NAME] or "?", kept


def catch_up(now: datetime) -> int:
    """Append the entries of the backlog, in order and with their original times, and return the number of
    entries.

    An entry that can't be recorded, for example because its event is unknown, is replaced by an entry that
    describes the problem, so that it doesn't block the others. Raises the database's errors, including when
    the record rejects entries.
    """
    with transaction.atomic():
        kept = list(
            AuditBacklog.objects.select_for_update(skip_locked=True, no_key=True).order_by("pk")[:BATCH]
        )
        for entry in kept:
            try:
                with transaction.atomic():
                    _append(entry, now)
            except (Unrecordable, ValueError, DataError) as error:
                logger.exception("record.entry_replaced", entry=entry.event, object_ref=entry.object_ref)
                _record_replacement(entry, error, now)
        AuditBacklog.objects.filter(pk__in=[entry.pk for entry in kept]).delete()
    return len(kept)


def _append(entry: AuditBacklog, now: datetime) -> None:
    record(
        event=Event(entry.event),
        actor=actor_of(entry),
        object_type=entry.object_type,
        object_ref=entry.object_ref,
        data={**entry.data, "recorded_at": now.isoformat()},
        now=entry.at,
    )


def _record_replacement(entry: AuditBacklog, error: Exception, now: datetime) -> None:
    said = {
        "why": str(error),
        "event": entry.event,
        "actor": entry.actor,
        "object_type": entry.object_type,
        "object_ref": entry.object_ref,
        "data": json.dumps(entry.data),
    }
    record(
        event=Event.RECORD_ENTRY_REPLACED,
        actor=CATCHER,
        object_type="log",
        object_ref=MAIN_LOG,
        now=entry.at,
        data={**{name: text[:LONGEST] for name, text in said.items()}, "recorded_at": now.isoformat()},
    )


def actor_of(entry: AuditBacklog | AuditAttempt) -> Actor:
    """Return the actor of a stored entry. Raises ValueError if such an actor can't exist."""
    if entry.actor_id is None:
        return Actor.system(entry.actor.removeprefix(SYSTEM_PREFIX))
    return Actor(name=entry.actor, id=entry.actor_id, kind=entry.actor_kind)  # type: ignore[arg-type]  # kept as given
