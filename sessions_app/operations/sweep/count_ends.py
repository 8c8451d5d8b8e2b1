"""Count each day's grant ends by the time until they were confirmed."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from sessions_app.models import EndCause, EndReason, EndsOfDay
from sessions_app.queries.status.end_latency import BUCKET_GROWTH, BUCKET_S, DAYS, PROMISE_S

# An end that was written before midnight may be committed after midnight.
_SETTLED = dt.timedelta(minutes=10)
# Computes the same time as `seconds_to_prove`.
_COUNT = """
WITH proven AS (
    SELECT end_reason, greatest(0, extract(epoch FROM
               ended_at - greatest(least(expires_at, revoking_at), finish_until)))::float8 AS took
      FROM sessions_app_grant
     WHERE state = 'ended' AND revoking_at IS NOT NULL AND ended_at >= %(since)s AND ended_at < %(until)s
), placed AS (
    SELECT CASE WHEN end_reason = %(expired)s THEN %(deadline)s ELSE %(revoke)s END AS cause, took,
           CASE WHEN took <= %(first)s THEN 0
                ELSE ceil(ln(took / %(first)s) / ln(%(growth)s::float8))::int END AS bucket
      FROM proven
)
SELECT cause, bucket, count(*), count(*) FILTER (WHERE took > %(promise)s), max(took)
  FROM placed GROUP BY 1, 2
"""


def count_ends(*, now: dt.datetime) -> None:
    """Count today's ends, and those of earlier days in the window that are not fully counted."""
    today = now.astimezone(dt.UTC).date()
    first = today - dt.timedelta(days=DAYS - 1)
    last = EndsOfDay.objects.filter(day__gte=first).order_by("-day").values_list("day", flat=True).first()
    day = min(last or first, (now - _SETTLED).astimezone(dt.UTC).date())
    while day <= today:
        EndsOfDay.objects.bulk_create(
            _counted(day),
            update_conflicts=True,
            unique_fields=["day", "cause"],
            update_fields=["total", "late", "longest", "buckets"],
        )
        day += dt.timedelta(days=1)


def _counted(day: dt.date) -> list[EndsOfDay]:
    """Return the counts for one day, for both causes."""
    rows = {cause: EndsOfDay(day=day, cause=cause, total=0, late=0, longest=0.0) for cause in EndCause.values}
    since = dt.datetime.combine(day, dt.time.min, dt.UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "since": since,
                "until": since + dt.timedelta(days=1),
                "expired": EndReason.EXPIRED,
                "deadline": EndCause.DEADLINE,
                "revoke": EndCause.REVOKE,
                "first": BUCKET_S,
                "growth": BUCKET_GROWTH,
                "promise": PROMISE_S,
            },
        )
        for cause, bucket, count, late, longest in cursor.fetchall():
            row = rows[cause]
            row.total, row.late, row.longest = row.total + count, row.late + late, max(row.longest, longest)
            row.buckets[str(bucket)] = count
    return list(rows.values())
