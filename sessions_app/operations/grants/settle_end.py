"""Update the rows of grants that ended while other transactions had locked the rows."""

from __future__ import annotations

import datetime as dt

import structlog
from django.db import connection, transaction

from broker.kernel.each_free import each_free
from sessions_app.models import EndIntent, Grant
from sessions_app.operations.grants.end_grant import settle
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end

log = structlog.get_logger(__name__)

# How long a transaction may hold a row lock without running a database query. Nothing in Stint waits within a
# transaction.
IDLE = dt.timedelta(seconds=1)
# `xmax` is the transaction that holds the row lock.
_END_IDLE = """
SELECT g.ref, a.pid, pg_terminate_backend(a.pid)
  FROM sessions_app_endintent e
  JOIN sessions_app_grant g ON g.id = e.grant_id
  JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = g.xmax
  JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = current_user AND a.datname = current_database()
 WHERE greatest(e.made_at, a.state_change) <= clock_timestamp() - make_interval(secs => %s)
   AND a.state = 'idle in transaction'
"""


def settle_end(*, grant_id: int, now: dt.datetime) -> bool:
    """Carry out the intended ends (`EndIntent`) of a grant and of grants delegated from it, unless
    another transaction has locked one of them. Return whether the ends were carried out.

    Safe to call repeatedly.
    """
    with transaction.atomic():
        locked = lock_to_end(grant_ids=[grant_id], patience=AT_ONCE)
        settle(locked, now)
    return grant_id in locked


def settle_ends(failed: dict[str, str], now: dt.datetime) -> int:
    """Carry out the intended ends of all unlocked grants, and return the number of grants. Failures are added
    to ``failed``.

    Targets are called only afterward. A process that holds a row lock without doing anything, for example
    because it is stopped, loses its database connection.
    """
    waiting = Grant.objects.filter(pk__in=EndIntent.objects.order_by().values("grant")).order_by("pk")
    settled = each_free(waiting, lambda grant_id: settle_end(grant_id=grant_id, now=now), failed=failed)
    with connection.cursor() as cursor:
        cursor.execute(_END_IDLE, [IDLE.total_seconds()])
        for ref, pid, _ in cursor.fetchall():
            log.warning("grant.kept_by_idle_process", grant=ref, backend=pid)
    return settled
