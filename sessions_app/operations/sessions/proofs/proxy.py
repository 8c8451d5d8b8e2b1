"""Authenticate a use at a target over HTTP, with a grant's token that a proxy presents along with its own
key.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.operations.sessions.authorize_use import (
    COLUMNS,
    GOOD_TOKEN,
    TOKENS,
    AnyUse,
    Row,
    fields_of,
    live,
)
from sessions_app.operations.targets.cluster_connection import key_digest
from sessions_app.policy.commands.http.compiling import CompiledSet

LIVE = f"{GOOD_TOKEN} AND g.held_at IS NULL AND {live()}"
_OF_PROXY = Statement(
    "stint_authorize_request",
    f"""
SELECT g.id, g.ref, t.id, k.id, s.id, k.jkt, c.id, c.sealed_connection, g.expires_at
{TOKENS}
  LEFT JOIN sessions_app_session s ON s.credential_id = k.id AND s.target_id = t.id
 WHERE k.digest = $1::text AND t.name = $2::text AND c.kind = 'http' AND {LIVE}
""",  # fixed text
)
_LOCK = f"""
SELECT k.id, t.id, least(g.expires_at, k.expires_at, g.heartbeat_due_at,
       CASE WHEN g.parent_id IS NOT NULL THEN stint_usable_until(g.parent_id) END)
{TOKENS}
 WHERE k.id = ANY(%s::bigint[]) AND t.id = ANY(%s::bigint[]) AND {LIVE}
 ORDER BY g.id FOR NO KEY UPDATE OF g, k
"""
# The approved scope never changes, because the database rejects changes. So each process reads it once.
_APPROVED = Statement(
    "stint_approved_for_requests",
    f"""
SELECT {COLUMNS}, v.digest
  FROM sessions_app_grant g
  JOIN accounts_identity i ON i.id = g.holder_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_target t ON t.id = $2::bigint
 WHERE g.id = $1::bigint
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestUse(AnyUse):
    """One grant on one target, ready for a request.

    ``session_id`` is the session of the token at this target; None before the token's first request there.
    ``jkt`` is the thumbprint of the key that each request must prove; empty if there is none.
    """

    compiled: CompiledSet
    credential_id: int
    session_id: int | None
    jkt: str


@dataclass(frozen=True, slots=True)
class ByProxy:
    """A grant's token at a target behind a proxy.

    ``proxy_digest`` is the SHA-256 digest of the key with which the proxy authenticates.
    """

    token_digest: str
    proxy_digest: bytes
    target_name: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.target_name

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        """Run the statement, and retry if an idle connection was closed."""
        return _OF_PROXY.retried(values)

    def use(self, row: Row) -> RequestUse | None:
        grant, ref, target, key, session, jkt, cluster, sealed, expires_at = row
        digest = key_digest(sealed or b"", "proxy_key", cluster_id=number(cluster))
        if not hmac.compare_digest(digest, self.proxy_digest):
            return None
        return RequestUse(
            **approved((ref or b"", number(grant), number(target))),
            expires_at=moment(expires_at),
            credential_id=number(key),
            session_id=None if session is None else number(session),
            jkt=text(jkt),
        )


def lock_requests(uses: Iterable[AnyUse]) -> dict[tuple[int, int], dt.datetime]:
    """Lock the grants and tokens in use, so that they can't end before the surrounding transaction does.

    Return when each of them expires, by the ids of token and target. Tokens that are no longer valid are left
    out. Call this before anything is recorded. The lock is exclusive, because with shared locks, an end would
    have to wait for a moment without requests.
    """
    pairs = {(use.credential_id, use.target.id) for use in uses}
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list({token for token, _ in pairs}), list({target for _, target in pairs})])
        return {(token, target): until for token, target, until in cursor.fetchall()}


# Each cached value takes about a kilobyte.
_MOST = 65_536
_Key = tuple[bytes, int, int]
_known: OrderedDict[_Key, dict[str, Any]] = OrderedDict()


def approved_before(key: _Key) -> dict[str, Any] | None:
    """Return the same as ``approved``, but only from the cache; None if the value is not cached."""
    return _known.get(key)


def approved(key: _Key) -> dict[str, Any]:
    """Return the unchanging part of a grant's use on a target, by the grant's reference and both ids.

    Raises ValueError.
    """
    found = _known.get(key)
    if found is None:
        rows = _APPROVED([str(one).encode() for one in key[1:]])
        row = tuple(rows.get_value(0, column) for column in range(rows.nfields))
        found = _known[key] = fields_of(row, text(row[20]), CompiledSet)
        # An extension changes the deadline, so each decision reads the deadline.
        del found["expires_at"]
        while len(_known) > _MOST:
            _known.popitem(last=False)
    return found
