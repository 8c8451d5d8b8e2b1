"""Authorize the account of a grant, for API servers that send access reviews to Stint."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from broker.kernel.statement import Answer, Statement, number, text
from sessions_app.operations.sessions.authorize_use import COLUMNS, AnyUse, Row, fields_of, live
from sessions_app.operations.targets.cluster_connection import key_digest
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS

_DIRECT = "c.kind = 'kubernetes' AND c.connection ->> 'direct' = 'true' AND c.removed_at IS NULL"
_CLUSTERS = Statement(
    "stint_clusters_with_webhook",
    f"""
SELECT c.id, c.name, c.connection ->> 'accounts', c.sealed_connection FROM sessions_app_cluster c
 WHERE {_DIRECT} AND length(c.sealed_connection) > 0
 ORDER BY c.name
""",  # noqa: S608  # fixed text
)
# Excludes grants whose account was created at another address.
_OF_ACCOUNT = Statement(
    "stint_authorize_account",
    f"""
SELECT {COLUMNS}, v.digest
  FROM sessions_app_grant g
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_lease l ON l.grant_id = g.id AND l.target_id = t.id AND l.gone_at IS NULL
   AND l.made_until IS NOT NULL
   AND l.connection = c.connection AND l.address = t.address AND l.port = t.port
  JOIN accounts_identity i ON i.id = g.holder_id
 WHERE g.mark = $1::text AND c.id = $2::bigint AND g.held_at IS NULL AND {_DIRECT} AND {live()}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True)
class AskingCluster:
    """A cluster whose API server sends access reviews.

    ``accounts`` is the namespace of its grants' accounts.
    """

    id: int
    name: str
    accounts: str


def asking_clusters(digest: bytes) -> list[AskingCluster]:
    """Return the clusters whose webhook key has this SHA-256 digest, by name; empty for an unknown key.

    Raises OperationalError.
    """
    rows, found = _CLUSTERS.retried(()), []
    for at in range(rows.ntuples):
        id_, name, accounts, sealed = (rows.get_value(at, column) for column in range(rows.nfields))
        own = key_digest(sealed or b"", "webhook_key", cluster_id=number(id_))
        if hmac.compare_digest(own, digest):
            found.append(AskingCluster(number(id_), text(name), text(accounts) or ACCOUNTS))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUse(AnyUse):
    """One grant on one API server that its holder reaches through the grant's account."""

    compiled: CompiledSet


@dataclass(frozen=True, slots=True)
class ByAccount:
    """The account of a grant, by the grant's mark, on a cluster that authenticated with its webhook key."""

    mark: str
    cluster_id: int

    def values(self) -> Sequence[str | None]:
        return self.mark, str(self.cluster_id)

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _OF_ACCOUNT(values)

    def use(self, row: Row) -> AccountUse:
        return AccountUse(**fields_of(row, text(row[20]), CompiledSet))
