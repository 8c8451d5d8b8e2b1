"""Authenticate a use at Stint's own Kubernetes gateway, with a grant's token or by a sign-in to the web
interface.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.connectors.base import TargetSpec
from sessions_app.operations.sessions.authorize_use import (
    COLUMNS,
    GOOD_TOKEN,
    MADE,
    TOKENS,
    AnyUse,
    Row,
    TokenUse,
    fields_of,
    live,
)
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet

# A cluster with one target can be addressed by its own name, and each target by its name. Excludes grants
# whose account was created at another address, and clusters that holders reach directly.
_AT_KUBERNETES = Statement(
    "stint_authorize_kubernetes",
    f"""
SELECT {COLUMNS},
       v.digest, k.id, k.jkt, c.id, c.connection::text, c.sealed_connection,
       least(g.expires_at, k.expires_at), k.digest
{TOKENS}{MADE}
 WHERE k.digest = $1::text AND {GOOD_TOKEN} AND g.held_at IS NULL AND c.kind = 'kubernetes'
   AND $2::text IN (c.name, t.name) AND NOT c.connection ? 'direct' AND {live()}
""",  # fixed text
)
_OF_HOLDER = Statement(
    "stint_authorize_at_kubernetes",
    f"""
SELECT {COLUMNS}, v.digest, c.id, c.connection::text, c.sealed_connection
  FROM sessions_app_grant g
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id{MADE}
 WHERE g.holder_id = $1::bigint AND g.ref = $4::text AND t.name = $2::text AND g.held_at IS NULL
   AND c.kind = 'kubernetes'
   AND NOT c.connection ? 'direct' AND {live("$3::timestamptz")}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesUse(TokenUse):
    """One grant on one API server behind Stint's own gateway.

    ``place`` has Stint's own credential for the server.
    """

    compiled: CompiledSet
    place: TargetSpec = field(repr=False)


@dataclass(frozen=True, slots=True)
class AtKubernetes:
    """A grant's token at the gateway, for ``name``: the name of a cluster or of one of its targets."""

    token_digest: str
    name: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.name

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _AT_KUBERNETES(values)

    def use(self, row: Row) -> KubernetesUse:
        digest, key, jkt, *stored, good_until, credential = row[20:]
        return KubernetesUse(
            **_placed(row, digest, *stored),
            credential_id=number(key),
            credential_digest=text(credential),
            good_until=moment(good_until),
            jkt=text(jkt),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderUse(AnyUse):
    """One grant on one API server behind Stint's own gateway, for a holder who uses the web interface.

    ``place`` has Stint's own credential for the server.
    """

    compiled: CompiledSet
    place: TargetSpec = field(repr=False)


AtCluster = KubernetesUse | HolderUse


@dataclass(frozen=True, slots=True)
class OfHolder:
    """A signed-in identity, with a target and the reference of one of the identity's grants."""

    holder_id: int
    target_name: str
    grant_ref: str
    now: dt.datetime

    def values(self) -> Sequence[str | None]:
        return str(self.holder_id), self.target_name, self.now.isoformat(), self.grant_ref

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _OF_HOLDER(values)

    def use(self, row: Row) -> HolderUse:
        return HolderUse(**_placed(row, *row[20:]))


def _placed(
    row: Row, digest: bytes | None, cluster: bytes | None, connection: bytes | None, sealed: bytes | None
) -> dict[str, Any]:
    fields = fields_of(row, text(digest), CompiledSet)
    parameters = parameters_of(
        "kubernetes", json.loads(text(connection)), sealed or b"", cluster_id=number(cluster)
    )
    return {
        **fields,
        "place": TargetSpec(cluster=fields["cluster"], target=fields["target"], parameters=parameters),
    }
