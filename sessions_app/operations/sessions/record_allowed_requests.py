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


@dataclass(slots=True)
class AllowedRequests:
    """Identical requests, made ``times`` times in one session from ``first_at`` to ``last_at``.

    It can be counted up until it is recorded.
    """

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
        row, rows = _Row(), []
        for place, one in enumerate(requests):
            valid_until = until.get((one.use.credential_id or 0, one.use.target.id))
            if answered or valid_until is not None:
                rows.append(row.of(one, place, valid_until))
        cursor.execute(
            "SELECT stint_requests_allowed(%s, %s, %s::jsonb)",
            [now, Event.COMMAND_ALLOWED.value, f"[{','.join(rows)}]"],
        )
        recorded = set(cursor.fetchone()[0])
    return [place in recorded for place in range(len(requests))]


class _Row:
    """Encodes the rows of one call as JSON. What the requests of one use share is encoded once, because a
    client may send thousands of reads in a second.
    """

    def __init__(self) -> None:
        self._shared: dict[tuple[int, int, int, str], str] = {}

    def of(self, one: AllowedRequests, place: int, until: dt.datetime | None) -> str:
        """Return a row. ``place`` is its number in the call."""
        key = id(one.use), one.session_id, one.decision.index, one.decision.effect
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _json(_shared(one))[:-1]
        first = one.first_at.isoformat()
        last = first if one.last_at is one.first_at else one.last_at.isoformat()
        argv = recordable_words(one.decision.argv)
        own = (
            f'"place":{place},"until":{_json(until and until.isoformat())},"times":{one.times},'
            f'"first_at":"{first}","last_at":"{last}","line":{_json(" ".join(argv))},"argv":{_json(argv)}'
        )
        return f"{shared},{own}}}"


_json = json.JSONEncoder(ensure_ascii=False).encode


def _shared(one: AllowedRequests) -> dict[str, object]:
    use, decision = one.use, one.decision
    return {
        "grant_id": use.grant_id,
        "session_id": one.session_id,
        "target_id": use.target.id,
        "ref": use.grant_ref,
        "holder": use.holder,
        "holder_id": use.holder_id,
        "target": use.target.name,
        # Some requests are allowed without a command.
        "command": decision.index if decision.index >= 0 else None,
        "effect": decision.effect,
        "client": use.client,
    }
