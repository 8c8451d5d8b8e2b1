"""The token of a grant, which a proxy shows with its own key, at a target over HTTP."""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import OperationalError, connection

from broker.kernel.crypto import CannotDecrypt
from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.operations.sessions.authorize_use import COLUMNS, GOOD_TOKEN, AnyUse, Row, fields_of, live
from sessions_app.operations.targets.cluster_connection import stored_secrets
from sessions_app.policy.commands.http.decide import CompiledSet

log = structlog.get_logger(__name__)

_OF_PROXY = Statement(
    "stint_authorize_request",
    f"""
SELECT g.id, g.ref, t.id, k.id, k.session_id, k.jkt, c.sealed_connection, g.expires_at
  FROM sessions_app_grantcredential k
  JOIN sessions_app_grant g ON g.id = k.grant_id
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id
 WHERE {GOOD_TOKEN} AND g.held_at IS NULL AND t.name = $2::text AND c.kind = 'http' AND {live()}
""",  # noqa: S608  # fixed text
)
# What was approved never changes (the database refuses), so that it is read once for each process.
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
    """One grant on one target, ready for a request. ``session_id`` is None before its first one; ``jkt`` is the
    thumbprint of the key that must be proven, empty for none.
    """

    compiled: CompiledSet
    credential_id: int
    session_id: int | None
    jkt: str


@dataclass(frozen=True, slots=True)
class ByProxy:
    """The token of a grant, at a target behind a proxy. ``proxy_digest`` is the SHA-256 digest of the key by which the proxy
    proves that it is the cluster's.
    """

    token_digest: str
    proxy_digest: bytes
    target_name: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.target_name

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        """Ask twice: a connection that lay idle may be gone; a new one says whether the database is."""
        try:
            return _OF_PROXY(values)
        except OperationalError:
            connection.close()
            return _OF_PROXY(values)

    def use(self, row: Row) -> RequestUse | None:
        grant, ref, target, key, session, jkt, sealed, expires_at = row
        if not hmac.compare_digest(_proxy_digest(sealed or b""), self.proxy_digest):
            return None
        return RequestUse(
            **_approved((ref or b"", number(grant), number(target))), expires_at=moment(expires_at), credential_id=number(key),
            session_id=None if session is None else number(session), jkt=text(jkt),
        )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _proxy_digest(sealed: bytes) -> bytes:
    """The SHA-256 digest of the proxy's key in a cluster's sealed connection; nobody has a key with that of none."""
    try:
        key = stored_secrets(sealed).get("proxy_key", "")
    except CannotDecrypt as error:
        log.warning("proxy_key.unreadable", error=str(error))
        key = ""
    return hashlib.sha256(key.encode()).digest() if key else secrets.token_bytes(32)


# About a kilobyte each.
_MOST = 65_536
_Key = tuple[bytes, int, int]
_known: OrderedDict[_Key, dict[str, Any]] = OrderedDict()


def _approved(key: _Key) -> dict[str, Any]:
    """Return what never changes of a grant on a target, by the grant's reference and both ids. Raises ValueError."""
    found = _known.get(key)
    if found is None:
        rows = _APPROVED([str(one).encode() for one in key[1:]])
        row = tuple(rows.get_value(0, column) for column in range(rows.nfields))
        found = _known[key] = fields_of(row, text(row[19]), CompiledSet)
        # An extension changes it, so that it comes with each decision.
        del found["expires_at"]
        while len(_known) > _MOST:
            _known.popitem(last=False)
    return found
