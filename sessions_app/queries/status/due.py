"""The steps that a sweep may have to run now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from broker.kernel.postgresql.rows import ask
from broker.kernel.statement import Statement, text
from sessions_app.queries.gateways.ordered_files import to_purge
from sessions_app.queries.grants.current import NEXT_DUE, due_at

# PostgreSQL plans this without knowing the time, and assumes that a third of all rows are earlier. The
# condition that the column is not null makes it use the index of due reviews.
_DUE = Statement(
    "stint_due",
    f"""
SELECT {NEXT_DUE}, concat_ws(' ',
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
          AND review_escalated_at IS NULL) THEN 'reviews' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_orderedfile f WHERE {to_purge("$1::timestamptz")})
        THEN 'files' END)
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True)
class Due:
    """The kinds of ``steps`` that are due, and the time of the ``next`` due step; None if nothing is
    pending.
    """

    steps: frozenset[str]
    next: dt.datetime | None


def due_now(now: dt.datetime, sweeper: str) -> Due:
    """Return the steps that are due at ``now``, for the sweeper with this name."""
    found = _DUE([str(now).encode(), sweeper.encode()])
    return Due(frozenset(text(found.get_value(0, 1)).split()), due_at(found.get_value(0, 0)))


# The conditions of `end_baseless` in one query, because they are rarely met.
_BASELESS = """
WITH live AS (SELECT holder_id, cluster_id, policy_id, command_set_version_id, workflow_id
                FROM sessions_app_grant WHERE state IN ('scheduled', 'provisioning', 'active'))
SELECT concat_ws(' ',
    CASE WHEN EXISTS (SELECT FROM sessions_app_gatewaynode
        WHERE stopped_at IS NULL AND seen_at < %(silent)s) THEN 'gateways' END,
    CASE WHEN EXISTS (SELECT FROM live
        JOIN accounts_identity holder ON holder.id = holder_id
        LEFT JOIN accounts_identity owner ON owner.id = holder.owner_id
        JOIN sessions_app_cluster cluster ON cluster.id = cluster_id
        JOIN sessions_app_accesspolicy policy ON policy.id = policy_id
        JOIN sessions_app_commandsetversion version ON version.id = command_set_version_id
        JOIN sessions_app_commandset command_set ON command_set.id = version.command_set_id
       WHERE NOT holder.is_active OR NOT owner.is_active OR cluster.kind <> ALL(%(kinds)s)
          OR coalesce(cluster.removed_at, policy.removed_at, command_set.removed_at) IS NOT NULL)
        THEN 'groundless' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_workflow
        WHERE state = 'open' AND source_id IS NULL AND ends_at <= %(now)s) THEN 'workflows' END,
    CASE WHEN EXISTS (SELECT FROM live
        JOIN sessions_app_workflow workflow ON workflow.id = workflow_id
        LEFT JOIN sessions_app_workflowsource source ON source.id = workflow.source_id
       WHERE workflow.state = 'closed' OR source.removed_at IS NOT NULL
          OR source.id IS NOT NULL AND workflow.read_at < %(unread)s) THEN 'over' END,
    CASE WHEN EXISTS (SELECT FROM sessions_app_accessrequest request
        JOIN sessions_app_workflow workflow ON workflow.id = request.workflow_id
        LEFT JOIN sessions_app_workflowsource source ON source.id = workflow.source_id
       WHERE request.state = 'pending'
         AND (workflow.state = 'closed' OR source.removed_at IS NOT NULL OR workflow.ends_at <= %(now)s))
        THEN 'requests' END)
"""


def baseless_now(
    now: dt.datetime, *, silent: dt.datetime, unread: dt.datetime, kinds: Iterable[str]
) -> frozenset[str]:
    """Return the kinds of steps of `end_baseless` that may be necessary: gateways that have
    not been seen since ``silent``, workflows that have not been read since ``unread``, and clusters that are
    of none of the ``kinds``, among others.
    """
    values = {"now": now, "silent": silent, "unread": unread, "kinds": list(kinds)}
    ((found,),) = ask(_BASELESS, **values)
    return frozenset(found.split())
