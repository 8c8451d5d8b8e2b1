"""Read, from a database server, the statements that a grant's holder ran there, if the cluster's
administrator allows this.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from django.db import transaction
from django.db.models import Max, Q

from accounts.actors import actor_of
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.text import recordable
from sessions_app.connectors.postgres.statements import RunStatement, statements
from sessions_app.models import (
    CommandRun,
    GatewayNode,
    Grant,
    GrantState,
    Lease,
    ReadStatement,
    RunState,
    Session,
)
from sessions_app.operations.targets.connect import lease_of

NODE = "postgres"
# The server's log is still read for this long after the end, because the last statements may arrive late.
AFTER_THE_END = dt.timedelta(minutes=1)
LONGEST = 4000


def leases_to_read(*, now: dt.datetime) -> list[int]:
    """Return the leases under which a holder can run statements now, or could until a moment ago."""
    live = Q(grant__state__in=[GrantState.ACTIVE, GrantState.REVOKING])
    lately = Q(grant__state=GrantState.ENDED, grant__ended_at__gt=now - AFTER_THE_END)
    found = Lease.objects.filter(
        live | lately,
        grant__cluster__kind="postgres",
        connection__read_statements=True,
        made_until__isnull=False,
    )
    return list(found.order_by("pk").values_list("pk", flat=True))


def read_statements(*, lease_id: int, now: Callable[[], dt.datetime]) -> int:
    """Record the statements that the server reports since the last read, each once. Return the number of new
    statements.

    This only observes the statements: the server enforces which are allowed. Raises ConnectorError.
    """
    lease = Lease.objects.select_related("grant__cluster", "grant__holder", "target").get(pk=lease_id)
    grant = lease.grant
    last = ReadStatement.objects.filter(lease=lease).aggregate(at=Max("run__tried_at"))["at"]
    since = last or grant.activated_at or grant.starts_at
    left = lease_of(lease, grant)
    found = statements(left.place, left, since)
    if not found:
        return 0
    with transaction.atomic():
        # Otherwise, two processes that read at the same time would both count a statement as new.
        Lease.objects.select_for_update(no_key=True).get(pk=lease_id)
        known = set(
            ReadStatement.objects.filter(lease=lease, key__in=[one.key for one in found]).values_list(
                "key", flat=True
            )
        )
        fresh = [one for one in found if one.key not in known]
        if fresh:
            _write(lease, grant, fresh, now())
    return len(fresh)


def _write(lease: Lease, grant: Grant, fresh: Sequence[RunStatement], now: dt.datetime) -> None:
    session = _session(lease, grant, now)
    for one in {one.key: one for one in fresh}.values():
        run = CommandRun.objects.create(
            grant=grant,
            session=session,
            target=lease.target,
            line=recordable(one.text)[:LONGEST],
            state=RunState.DONE,
            reason=recordable(one.error),
            tried_at=one.at,
            started_at=one.at,
            ended_at=None if one.state == "running" else one.at,
        )
        ReadStatement.objects.create(run=run, lease=lease, key=one.key)
        record_end(
            event=Event.COMMAND_OBSERVED,
            actor=actor_of(grant.holder),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={
                "run": run.pk,
                "target": lease.target.name,
                "statement": run.line,
                "database": recordable(one.database),
                "at": one.at.isoformat(),
                "error": run.reason,
            },
        )


def _session(lease: Lease, grant: Grant, now: dt.datetime) -> Session:
    """Return the session that represents the use of a database role.

    Connections to the server come and go, and Stint holds none of them.
    """
    node, _ = GatewayNode.objects.get_or_create(
        name=NODE, defaults={"started_at": now, "seen_at": now, "stopped_at": now}
    )
    session, _ = Session.objects.get_or_create(
        grant=grant,
        target=lease.target,
        gateway=node,
        defaults={
            "opened_at": now,
            "closed_at": now,
            "close_reason": "no connection is held",
            "proof": "its role",
        },
    )
    return session
