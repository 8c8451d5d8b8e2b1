"""Aggregated entries for attempts that anyone can repeat without limit, such as failed sign-ins.

The first attempt from each source is recorded as an entry immediately, if there are only a few sources.
Further attempts within a minute only update a count in the database, without locking the record's head or
waiting for the disk. After the minute, the count becomes one entry. No count is lost when a process ends.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.backlog import actor_of, fitting, record_end
from broker.audit.events import Event
from broker.audit.models import AuditAttempt
from broker.audit.record import Json, record, record_many

WINDOW = dt.timedelta(minutes=1)
# The maximum number of sources whose first attempt is recorded immediately, and that get their own entry
# after a minute. A single entry covers all other sources.
TOLD_AT_ONCE = 10
SOURCES = 100
EXAMPLES = 5
SEVERAL = "several"
# The maximum size of a stored example, in bytes.
LONGEST = 1000

_COUNT = """
    INSERT INTO audit_attempt AS a (event, actor, actor_id, actor_kind, object_type, object_ref, source,
                                    first_at, last_at, times, told, examples)
    VALUES (%(event)s, %(actor)s, %(actor_id)s, %(actor_kind)s, %(object_type)s, %(object_ref)s, %(source)s,
            %(now)s, %(now)s, 1, false, jsonb_build_array(%(data)s::jsonb))
    ON CONFLICT (event, object_ref, source) DO UPDATE
       SET times = a.times + 1, last_at = greatest(a.last_at, excluded.last_at),
           examples = CASE WHEN jsonb_array_length(a.examples) < %(most)s
                            AND NOT a.examples @> excluded.examples
                           THEN a.examples || excluded.examples ELSE a.examples END
    RETURNING a.times
"""


def record_attempt(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    object_ref: str,
    data: Mapping[str, Json],
    source: str,
    now: dt.datetime,
) -> None:
    """Record an attempt that gave no access, in a new transaction or in the caller's.

    Attempts are counted by ``source``: an address (IPv6 by /64), or another value that an attacker can't
    easily vary. Raises the database's errors.
    """
    object_ref, data = fitting(object_ref, data)
    with transaction.atomic():
        first = _count(event, actor, object_type, object_ref, data, source, now)
        if first and _is_told_at_once(event, actor):
            AuditAttempt.objects.filter(event=event, object_ref=object_ref, source=source).update(told=True)
            record_end(
                event=event, actor=actor, object_type=object_type, object_ref=object_ref, data=data, now=now
            )
        elif not connection.savepoint_ids:
            # Don't wait for the disk, because only a crash of the database loses the latest counts.
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit TO off")


def _count(
    event: Event,
    actor: Actor,
    object_type: str,
    object_ref: str,
    data: Mapping[str, Json],
    source: str,
    now: dt.datetime,
) -> bool:
    """Count an attempt, and return whether it is the first within its minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "event": event,
                "actor": actor.name,
                "actor_id": actor.id,
                "actor_kind": actor.kind,
                "object_type": object_type,
                "object_ref": object_ref,
                "source": source,
                "now": now,
                "data": _example(data),
                "most": EXAMPLES,
            },
        )
        (times,) = cursor.fetchone()
    return bool(times == 1)


def _is_told_at_once(event: Event, actor: Actor) -> bool:
    """Whether the first attempt from a source gets its own entry immediately: true for identities, whose
    number is limited, and false for addresses.
    """
    return actor.id is not None or AuditAttempt.objects.filter(event=event, told=True).count() < TOLD_AT_ONCE


def _example(data: Mapping[str, Json]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text.encode()) <= LONGEST else json.dumps({"cut": text[: LONGEST // 4]})


def append_attempts(now: dt.datetime) -> int:
    """Record the counts that are a minute old, with one entry for each source, and return the number of
    entries. All addresses beyond the first 100 share one entry, which contains the number of addresses.
    Raises the database's errors.
    """
    with transaction.atomic():
        due = AuditAttempt.objects.filter(first_at__lte=now - WINDOW).values("event")
        # Process all rows of an event together, including younger ones. If each source had its own minute,
        # the number of entries per minute would be unlimited.
        rows = list(
            AuditAttempt.objects.filter(event__in=due)
            .select_for_update(skip_locked=True, no_key=True)
            .order_by("-times", "pk")
        )
        AuditAttempt.objects.filter(pk__in=[row.pk for row in rows]).delete()
        # A single attempt that was recorded immediately needs no second entry.
        counted = [row for row in rows if row.times > 1 or not row.told]
        count = 0
        for event in dict.fromkeys(row.event for row in counted):
            count += _record_all(Event(event), [row for row in counted if row.event == event], now)
    return count


def _record_all(event: Event, rows: list[AuditAttempt], now: dt.datetime) -> int:
    named = [row for row in rows if row.actor_id is not None]
    for row in named:
        record(
            event=event,
            actor=actor_of(row),
            object_type=row.object_type,
            object_ref=row.object_ref,
            data=_summary([row]),
            now=now,
        )
    rest = [row for row in rows if row.actor_id is None]
    parts = [[row] for row in rest[:SOURCES]] + ([rest[SOURCES:]] if rest[SOURCES:] else [])
    if parts:
        record_many(
            event=event,
            actor=actor_of(rest[0]),
            object_type=rest[0].object_type,
            now=now,
            entries=[(_about(part), _summary(part)) for part in parts],
        )
    return len(named) + len(parts)


def _about(rows: list[AuditAttempt]) -> str:
    refs = {row.object_ref for row in rows}
    return refs.pop() if len(refs) == 1 else SEVERAL


def _summary(rows: list[AuditAttempt]) -> dict[str, Json]:
    """Return the data of the first attempt, with `count`, `first`, `last` and `examples`. If there are
    several sources, each example is from a different one.
    """
    one = len(rows) == 1
    return {
        **rows[0].examples[0],
        "count": sum(row.times for row in rows),
        "first": min(row.first_at for row in rows).isoformat(),
        "last": max(row.last_at for row in rows).isoformat(),
        "source": rows[0].source if one else SEVERAL,
        **({} if one else {"sources": len(rows), "some": [row.source for row in rows[:EXAMPLES]]}),
        "examples": rows[0].examples if one else [row.examples[0] for row in rows[:EXAMPLES]],
    }
