"""Authenticate a use by a grant's token, at Stint's own PostgreSQL gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.connectors.base import TargetSpec
from sessions_app.operations.sessions.authorize_use import (
    COLUMNS,
    GOOD_TOKEN,
    MADE,
    TOKENS,
    Row,
    TokenUse,
    fields_of,
    live,
)
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.commands.postgres.statement_set import StatementSet

# A grant whose role was created at another address matches nothing.
_AT_POSTGRES = Statement(
    "stint_authorize_postgres",
    f"""
SELECT {COLUMNS},
       v.digest, k.id, k.jkt, c.id, c.connection::text, c.sealed_connection,
       least(g.expires_at, k.expires_at), k.digest
{TOKENS}{MADE}
 WHERE k.digest = $1::text AND {GOOD_TOKEN} AND g.held_at IS NULL AND c.kind = 'postgres'
   AND $2::text IN ('', t.name) AND {live()}
""",  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementUse(TokenUse):
    """One grant on one PostgreSQL server, for statements through Stint's own gateway.

    ``place`` has Stint's own login for the server.
    """

    compiled: StatementSet
    place: TargetSpec = field(repr=False)


@dataclass(frozen=True, slots=True)
class AtPostgres:
    """A grant's token at the gateway, for the target ``name``; empty for each of its targets."""

    token_digest: str
    name: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.name

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _AT_POSTGRES(values)

    def use(self, row: Row) -> StatementUse:
        digest, key, jkt, cluster, connection, sealed, good_until, credential = row[20:]
        fields = fields_of(row, text(digest), StatementSet)
        parameters = parameters_of(
            "postgres", json.loads(text(connection)), sealed or b"", cluster_id=number(cluster)
        )
        return StatementUse(
            **fields,
            place=TargetSpec(cluster=fields["cluster"], target=fields["target"], parameters=parameters),
            credential_id=number(key),
            credential_digest=text(credential),
            good_until=moment(good_until),
            jkt=text(jkt),
        )
