"""Count the requests, grants and refused commands of each day, once they can no longer change."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction

from sessions_app.models import Settled, SettledCount, SettledDay

# The longest period of the insight page. It begins up to a day earlier in other time zones.
DAYS = 92
# Rows that were written before midnight may be committed after it.
_COMMITTED = dt.timedelta(hours=1)
_GRANTS = "sessions_app_grant WHERE created_at >= {since} AND created_at < {until}"
_REQUESTS = "sessions_app_accessrequest WHERE created_at >= {since} AND created_at < {until}"
_REFUSALS = """
sessions_app_commandrun run JOIN sessions_app_grant ON sessions_app_grant.id = run.grant_id
 WHERE run.state = 'refused' AND tried_at >= {since} AND tried_at < {until}"""
# The rows of a day, the condition under which a row can still change, and the counts.
_KINDS = {
    Settled.GRANTS: (
        _GRANTS,
        "state <> 'ended'",
        {
            "grants": "count(*)",
            "break_glass": "count(*) FILTER (WHERE break_glass)",
            "to_review": "count(*) FILTER (WHERE review_due_at IS NOT NULL)",
            "ended": "count(activated_at)",
            "unused": """count(activated_at) FILTER (WHERE NOT EXISTS (
                SELECT FROM sessions_app_session WHERE grant_id = sessions_app_grant.id))""",
        },
    ),
    Settled.REQUESTS: (
        _REQUESTS,
        "state = 'pending'",
        {"requests": "count(*)", "expired": "count(*) FILTER (WHERE state = 'lapsed')"},
    ),
    Settled.REFUSALS: (_REFUSALS, "false", {"refused": "count(*)"}),
}
_SINCE, _UNTIL = "day::timestamp AT TIME ZONE 'UTC'", "(day + 1)::timestamp AT TIME ZONE 'UTC'"
_FIND = """
INSERT INTO sessions_app_settledday (day, kind)
SELECT day, %(kind)s
  FROM (SELECT day::date FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, '1 day') day) days
 WHERE NOT EXISTS (SELECT FROM {rows} AND {open})
ON CONFLICT DO NOTHING
RETURNING day
"""
_COUNT = """
INSERT INTO sessions_app_settledcount (slot, cluster_id, policy_id, {names})
SELECT date_bin('15 minutes', {at}, 'epoch'), cluster_id, policy_id, {counts} FROM {rows} GROUP BY 1, 2, 3
ON CONFLICT (slot, cluster_id, policy_id) DO UPDATE SET {changes}
"""


def count_settled_days(*, now: dt.datetime) -> None:
    """Count the days in the window that have become settled, and delete the counts of days before the window.

    Each day is counted once. Late decisions and ends only delay its count.
    """
    last = (now - _COMMITTED).astimezone(dt.UTC).date() - dt.timedelta(days=1)
    first = last - dt.timedelta(days=DAYS)
    for kind in Settled:
        with transaction.atomic():
            _count(kind, first, last)
    SettledDay.objects.filter(day__lt=first).delete()
    SettledCount.objects.filter(slot__lt=dt.datetime.combine(first, dt.time.min, dt.UTC)).delete()


def _count(kind: Settled, first: dt.date, last: dt.date) -> None:
    rows, open_, counts = _KINDS[kind]
    find = _FIND.format(rows=rows.format(since=_SINCE, until=_UNTIL), open=open_)
    count = _COUNT.format(
        names=", ".join(counts),
        at="tried_at" if kind == Settled.REFUSALS else "created_at",
        counts=", ".join(counts.values()),
        rows=rows.format(since="%(since)s", until="%(until)s"),
        changes=", ".join(f"{name} = excluded.{name}" for name in counts),
    )
    with connection.cursor() as cursor:
        cursor.execute(find, {"kind": kind, "first": first, "last": last})
        for (day,) in cursor.fetchall():
            since = dt.datetime.combine(day, dt.time.min, dt.UTC)
            cursor.execute(count, {"since": since, "until": since + dt.timedelta(days=1)})
