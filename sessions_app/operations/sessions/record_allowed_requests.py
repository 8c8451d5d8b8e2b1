"""Requests that were allowed and only read are written down together."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from broker.audit.events import Event
from broker.kernel.text import recordable_words
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.policy.commands.answers import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedRequests:
    """The same request, made ``times`` times in one session from ``first_at`` to ``last_at``."""

    use: RequestUse
    session_id: int
    decision: Allowed
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


def record_allowed_requests(*, requests: Sequence[AllowedRequests], now: dt.datetime) -> None:
    """Write each down as one run with its count, and append it to the record, in one call of the database for each holder."""
    by_holder: dict[str, list[dict[str, object]]] = {}
    for one in requests:
        by_holder.setdefault(one.use.holder, []).append(_row(one))
    with transaction.atomic(), connection.cursor() as cursor:
        for holder, rows in by_holder.items():
            cursor.execute(
                "SELECT stint_requests_allowed(%s, %s, %s, %s::jsonb)",
                [now, Event.COMMAND_ALLOWED.value, holder, json.dumps(rows, ensure_ascii=False)],
            )


def _row(one: AllowedRequests) -> dict[str, object]:
    use, decision = one.use, one.decision
    argv = recordable_words(decision.argv)
    return {
        "grant_id": use.grant_id, "session_id": one.session_id, "target_id": use.target.id, "ref": use.grant_ref,
        "holder": use.holder, "target": use.target.name, "line": " ".join(argv), "argv": argv,
        "command": decision.index, "effect": decision.effect, "times": one.times, "first_at": one.first_at.isoformat(),
        "last_at": one.last_at.isoformat(),
    }  # fmt: skip
