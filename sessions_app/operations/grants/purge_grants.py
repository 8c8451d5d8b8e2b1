"""Delete grants and requests whose retention time is over. The record keeps the entries about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from django.conf import settings
from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record_many
from sessions_app.policy.references import request_ref

PURGER = Actor.system("retention")
# The maximum number of rows per transaction, and of transactions per run. With one run every ten minutes,
# this deletes up to 33 grants a second.
BATCH, ROUNDS = 100, 200


def purge_grants(*, now: dt.datetime) -> int:
    """Delete grants that ended more than STINT_GRANTS_DAYS ago, and requests that ended as long ago without a
    grant.

    Return the number of deleted rows of both kinds; 0 if they are kept forever.

    Along with a grant, its request, extensions, sessions, runs, leases, tokens and notifications are deleted.
    A grant is kept while its end or review is pending, or while one of its recordings, or a grant delegated
    from it, is kept. Each deletion has an entry in the record.
    """
    if not settings.GRANTS_DAYS:
        return 0
    before = now - dt.timedelta(days=settings.GRANTS_DAYS)
    return _in_rounds(_purge_grants, before, now) + _in_rounds(_purge_requests, before, now)


def _in_rounds(
    purge: Callable[[dt.datetime, dt.datetime], int], before: dt.datetime, now: dt.datetime
) -> int:
    purged = 0
    for _ in range(ROUNDS):
        found = purge(before, now)
        purged += found
        if found < BATCH:
            break
    return purged


@transaction.atomic
def _purge_grants(before: dt.datetime, now: dt.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM stint_purge_grants(%s, %s)", [before, BATCH])
        rows = cursor.fetchall()
    record_many(
        event=Event.GRANT_PURGED,
        actor=PURGER,
        object_type="grant",
        now=now,
        entries=[
            (ref, {"request": request_ref(number), "ended_at": ended.isoformat(), "runs": runs})
            for ref, number, ended, runs in rows
        ],
    )
    return len(rows)


@transaction.atomic
def _purge_requests(before: dt.datetime, now: dt.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM stint_purge_requests(%s, %s)", [before, BATCH])
        rows = cursor.fetchall()
    record_many(
        event=Event.REQUEST_PURGED,
        actor=PURGER,
        object_type="request",
        now=now,
        entries=[(request_ref(number), {"state": state}) for number, state in rows],
    )
    return len(rows)
