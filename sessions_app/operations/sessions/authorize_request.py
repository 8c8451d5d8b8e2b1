"""May whoever has this token use this target now?

The path of every request over HTTP, so it costs as little as it can: one prepared statement, sent and read in libpq's own
terms, with the deadline in it. What is permitted is asked each time. What was approved never changes (the database
refuses), so the commands of a grant are read once for each process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import structlog
from django.db import OperationalError, connection

from broker.audit.actor import ActorKind
from broker.audit.standing import STANDS, settle
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.statement import Statement, number, text
from sessions_app.operations.sessions.authorize_use import _bound, _kept
from sessions_app.operations.targets.cluster_connection import stored_secrets
from sessions_app.policy.commands.http.decide import CompiledSet
from sessions_app.queries.commands import compiled_by_digest

log = structlog.get_logger(__name__)

_LIVE = Statement(
    "stint_authorize_request",
    f"""
SELECT g.id, t.id, k.id, k.session_id, k.jkt, g.ref, c.sealed_connection
  FROM sessions_app_grantcredential k
  JOIN sessions_app_grant g ON g.id = k.grant_id
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id
  LEFT JOIN accounts_identity o ON o.id = i.owner_id
 WHERE k.digest = $1::text AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
   AND g.state = 'active' AND g.held_at IS NULL AND g.starts_at <= clock_timestamp() AND g.expires_at > clock_timestamp()
   AND (g.heartbeat_due_at IS NULL OR g.heartbeat_due_at > clock_timestamp())
   AND t.name = $2::text AND t.removed_at IS NULL AND c.kind = 'http' AND c.removed_at IS NULL
   AND i.is_active AND (i.owner_id IS NULL OR o.is_active) AND {STANDS}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFacts:
    """What never changes of a grant on a target: what was approved, and for whom."""

    grant_id: int
    grant_ref: str
    holder_id: int
    holder: str
    holder_kind: ActorKind
    cluster: str
    target_id: int
    target: str
    compiled: CompiledSet


@dataclass(slots=True)
class RequestUse:
    """One grant on one target, ready for a request. ``session_id`` is None before its first one; ``jkt`` is the
    thumbprint of the key that must be proven, empty for none.
    """

    facts: GrantFacts
    credential_id: int
    session_id: int | None
    jkt: str


def authorize_request(*, token_digest: str, proxy_digest: bytes, target_name: str) -> RequestUse | None:
    """Return the use that a token has at a proxy's target now; None lets it do nothing.

    ``proxy_digest`` is the SHA-256 digest of the key by which the proxy proves that it is the cluster's.
    The database's clock decides. A grant that can't be read is none. Raises OperationalError when the database does not
    answer within two seconds, twice, and RecordContradicted.
    """
    asked = [token_digest.encode(), target_name.encode()]
    try:
        row = _LIVE(asked)
    except OperationalError:
        # A connection that lay idle may be gone; a new one says whether the database is.
        connection.close()
        row = _LIVE(asked)
    if not row.ntuples and settle():
        row = _LIVE(asked)
    if not row.ntuples or not hmac.compare_digest(_proxy_digest(row.get_value(0, 6) or b""), proxy_digest):
        return None
    grant_id, target_id, credential_id = (number(row.get_value(0, column)) for column in (0, 1, 2))
    session = row.get_value(0, 3)
    facts = _facts(row.get_value(0, 5) or b"", grant_id, target_id)
    if facts is None:
        return None
    jkt = text(row.get_value(0, 4))
    return RequestUse(facts, credential_id, None if session is None else number(session), jkt)


@lru_cache(maxsize=1024)
def _proxy_digest(sealed: bytes) -> bytes:
    """The SHA-256 digest of the proxy's key in a cluster's sealed connection; nobody has a key with that of none."""
    try:
        key = stored_secrets(sealed).get("proxy_key", "")
    except CannotDecrypt as error:
        log.warning("proxy_key.unreadable", error=str(error))
        key = ""
    return hashlib.sha256(key.encode()).digest() if key else secrets.token_bytes(32)


# About half a kilobyte each.
_MOST = 65_536
_APPROVED = """
SELECT g.ref, g.holder_id, i.username, i.kind, c.name, t.name, v.id, v.digest, g.parameters::text, g.commands::text
  FROM sessions_app_grant g
  JOIN accounts_identity i ON i.id = g.holder_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_target t ON t.id = %s
 WHERE g.id = %s
"""
_known: OrderedDict[tuple[bytes, int, int], GrantFacts] = OrderedDict()


def _facts(ref: bytes, grant_id: int, target_id: int) -> GrantFacts | None:
    key = (ref, grant_id, target_id)
    found = _known.get(key)
    if found is None:
        found = _read(grant_id, target_id)
        if found is not None:
            _known[key] = found
            while len(_known) > _MOST:
                _known.popitem(last=False)
    return found


def _read(grant_id: int, target_id: int) -> GrantFacts | None:
    with connection.cursor() as cursor:
        cursor.execute(_APPROVED, [target_id, grant_id])
        (ref, holder_id, holder, kind, cluster, target, version_id, digest, parameters, commands) = (
            cursor.fetchone()
        )
    try:
        compiled = compiled_by_digest(
            version_id, digest, _bound(json.loads(parameters)), _kept(json.loads(commands))
        )
    except ValueError as error:
        log.warning("grant.unreadable", grant=ref, error=str(error))
        return None
    if not isinstance(compiled, CompiledSet):
        log.warning("grant.unreadable", grant=ref, error="Its commands are not for HTTP.")
        return None
    return GrantFacts(
        grant_id=grant_id, grant_ref=ref, holder_id=holder_id, holder=holder, holder_kind=kind, cluster=cluster,
        target_id=target_id, target=target, compiled=compiled,
    )  # fmt: skip
