"""What a sweep may have to do now."""

from __future__ import annotations

import datetime as dt

from broker.kernel.statement import Statement, text

# PostgreSQL does not know the time when it plans this, and assumes that a third of all rows are before it. So
# that it uses the index of due reviews, the condition says that there is a time.
_DUE = Statement(
    "stint_due",
    """
SELECT concat_ws(' ',
    CASE WHEN NOT EXISTS (SELECT FROM sessions_app_sweeper
        WHERE name = $2::text AND seen_at > $1::timestamptz - interval '5 seconds') THEN 'seen' END,
    CASE WHEN NOT EXISTS (SELECT FROM audit_standing
        WHERE log = 'main' AND incarnation = record_incarnation()) THEN 'standing' END,
    CASE WHEN EXISTS (SELECT FROM audit_backlog) THEN 'record' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_grant
            WHERE state IN ('scheduled', 'provisioning', 'active') AND expires_at <= $1::timestamptz)
        OR EXISTS (SELECT FROM sessions_app_endintent) THEN 'ends' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_grant
        WHERE state = 'active' AND heartbeat_due_at <= $1::timestamptz) THEN 'silent' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_grant
        WHERE state IN ('scheduled', 'provisioning') AND starts_at <= $1::timestamptz
          AND (next_attempt_at IS NULL OR next_attempt_at <= $1::timestamptz)) THEN 'starts' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_grant
        WHERE state = 'revoking' AND next_attempt_at <= $1::timestamptz) THEN 'revocations' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_accessrequest
        WHERE state = 'pending' AND lapses_at <= $1::timestamptz) THEN 'lapses' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_commandrun
        WHERE state = 'held' AND hold_lapses_at <= $1::timestamptz) THEN 'holds' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_grant
        WHERE review_due_at IS NOT NULL AND reviewed_at IS NULL AND review_due_at <= $1::timestamptz
          AND review_escalated_at IS NULL) THEN 'reviews' END)
""",
)


def due_now(now: dt.datetime, sweeper: str) -> frozenset[str]:
    """Return the kinds of steps for which something is due at ``now``, for the sweeper with this name."""
    found = _DUE([str(now).encode(), sweeper.encode()])
    return frozenset(text(found.get_value(0, 0)).split())
