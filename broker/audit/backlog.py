"""Ends go on while the record refuses: their entries are kept aside and appended when it takes entries again.

Only what takes access away, or gives none, may be kept aside. Whatever gives access uses ``record``, and fails with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

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
# Milliseconds that an end waits for the record. Its head is locked until whoever holds it commits, and that may be a
# process that was stopped.
PATIENCE = 1000
# Characters that are kept of each fact of an entry that can't be one.
LONGEST = 1000
CATCHER = Actor.system("record")


def record_end(
    *, event: Event, actor: Actor, object_type: str, object_ref: str, data: Mapping[str, Json], now: datetime
) -> None:
    """As ``record``, for an act that takes access away: when the record refuses, or lets itself be waited for, the entry
    is kept aside instead. What follows in the same transaction is kept aside at once.

    What can't be recorded as it is, is left out with the reason, before anything is kept aside. Raises NotInTransaction, and
    the database's errors when the entry can't be kept aside either.
    """
    # The savepoint below would pass for one.
    check_in_transaction(event, connection)
    object_ref, data = fitting(object_ref, data)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            before = _wait_not_long(cursor)
            record(
                event=event, actor=actor, object_type=object_type, object_ref=object_ref, data=data, now=now
            )
            # Not for the rest of the act. A savepoint that fails reverts its settings.
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except DatabaseError as error:
        logger.warning("record.refuses", entry=event.value, object_ref=object_ref, cause=str(error))
        _keep_aside_from_now_on()
        AuditBacklog.objects.create(
            at=now, event=event, actor=actor.name, actor_id=actor.id, actor_kind=actor.kind,
            object_type=object_type, object_ref=object_ref, data=data,
        )  # fmt: skip


def record_ends(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
    now: datetime,
) -> None:
    """As ``record_end``, for many ends of one act by a part of Stint, in one call."""
    check_in_transaction(event, connection)
    kept = [fitting(ref, data) for ref, data in entries]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            before = _wait_not_long(cursor)
            record_many(event=event, actor=actor, object_type=object_type, entries=kept, now=now)
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except DatabaseError:
        _keep_aside_from_now_on()
        # One by one, each is kept aside.
        for ref, data in kept:
            record_end(event=event, actor=actor, object_type=object_type, object_ref=ref, data=data, now=now)


def fitting(ref: str, data: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
    """Return name and data as the record takes them. What it does not take would hold up all that is kept aside after it."""
    try:
        kept = as_recorded(data)
    except Unrecordable as error:
        kept = {"left_out": recordable(error.message)[:LONGEST]}
    return recordable(ref)[:MAX_NAME] or "?", kept


def _wait_not_long(cursor: CursorWrapper) -> str:
    """Wait for the record's head for a while at most, and return for how long locks were waited for before.

    Raises OperationalError when the transaction has waited already, in vain.
    """
    cursor.execute("SELECT current_setting('lock_timeout'), current_setting('stint.aside', true)")
    before, aside = cursor.fetchone()
    if aside == "on":
        raise OperationalError("An earlier entry was kept aside.")
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(PATIENCE)])
    return str(before)


def _keep_aside_from_now_on() -> None:
    """Else an act of many ends would wait for each of them, and the entries of one act would part."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL stint.aside = 'on'")


def catch_up(now: datetime) -> int:
    """Append what was kept aside, in order and with its own time, and return how much. Stops where the record refuses.

    An entry that can't be one, such as of an event that there is none of, is told in an entry of its own instead: what waits
    behind it goes on. Raises the database's errors.
    """
    with transaction.atomic():
        kept = list(AuditBacklog.objects.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        for entry in kept:
            try:
                with transaction.atomic():
                    _append(entry, now)
            except (Unrecordable, ValueError, DataError) as error:
                logger.exception("record.entry_replaced", entry=entry.event, object_ref=entry.object_ref)
                _tell_left_out(entry, error, now)
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


def _tell_left_out(entry: AuditBacklog, error: Exception, now: datetime) -> None:
    said = {
        "why": str(error), "event": entry.event, "actor": entry.actor, "object_type": entry.object_type,
        "object_ref": entry.object_ref, "data": json.dumps(entry.data),
    }  # fmt: skip
    record(
        event=Event.RECORD_ENTRY_REPLACED, actor=CATCHER, object_type="log", object_ref=MAIN_LOG, now=entry.at,
        data={**{name: text[:LONGEST] for name, text in said.items()}, "recorded_at": now.isoformat()},
    )  # fmt: skip


def actor_of(entry: AuditBacklog | AuditAttempt) -> Actor:
    """Return who did it. Raises ValueError for one that there can't be."""
    if entry.actor_id is None:
        return Actor.system(entry.actor.removeprefix(SYSTEM_PREFIX))
    return Actor(name=entry.actor, id=entry.actor_id, kind=entry.actor_kind)  # type: ignore[arg-type]  # kept as given
