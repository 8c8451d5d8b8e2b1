"""Record many allowed requests in one call."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from broker.audit.events import Event
from broker.kernel.text import recordable_words
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.proofs.proxy import lock_requests
from sessions_app.policy.commands.answers import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRequests:
    """Identical requests, made ``times`` times in one session from ``first_at`` to ``last_at``."""

    use: AnyUse
    session_id: int
    decision: Allowed
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


def record_allowed_requests(
    *, requests: Sequence[AllowedRequests], answered: bool, now: dt.datetime
) -> list[bool]:
    """Store each group of identical requests as one run with its count, and append it to the record.

    Return whether each group was recorded. Requests that are not ``answered`` yet are recorded only if their
    token is still valid once the record is locked. So each request is either recorded before its access ends,
    or must be refused.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        until = {} if answered else lock_requests(one.use for one in requests)
        rows = []
        for place, one in enumerate(requests):
            valid_until = until.get((one.use.credential_id or 0, one.use.target.id))
            if answered or valid_until is not None:
                rows.append({"place": place, "until": valid_until and valid_until.isoformat(), **_row(one)})
        cursor.execute(
            "SELECT stint_requests_allowed(%s, %s, %s::jsonb)",
            [now, Event.COMMAND_ALLOWED.value, json.dumps(rows, ensure_ascii=False)],
        )
        recorded = set(cursor.fetchone()[0])
    return [place in recorded for place in range(len(requests))]


def _row(one: AllowedRequests) -> dict[str, object]:
    use, decision = one.use, one.decision
    argv = recordable_words(decision.argv)
    return {
        "grant_id": use.grant_id,
        "session_id": one.session_id,
        "target_id": use.target.id,
        "ref": use.grant_ref,
        "holder": use.holder,
        "holder_id": use.holder_id,
        "target": use.target.name,
        "line": " ".join(argv),
        "argv": argv,
        # Some requests are allowed without a command.
        "command": decision.index if decision.index >= 0 else None,
        "effect": decision.effect,
        "times": one.times,
        "first_at": one.first_at.isoformat(),
        "last_at": one.last_at.isoformat(),
        "client": use.client,
    }
