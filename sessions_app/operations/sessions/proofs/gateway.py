"""Authenticate a use by a grant's token, for requests through Stint's own HTTP gateway."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.connectors.base import ConnectionParameters, TargetSpec
from sessions_app.operations.sessions.authorize_use import TOKENS, Row, TokenUse
from sessions_app.operations.sessions.proofs.proxy import LIVE, approved, approved_before
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.commands.http.compiling import CompiledSet

# A cluster with one target can be addressed by its own name, and each target by its name.
AT_GATEWAY = Statement(
    "stint_authorize_at_gateway",
    f"""
SELECT g.id, g.ref, t.id, g.expires_at, k.id, k.digest, k.jkt, least(g.expires_at, k.expires_at), c.id,
       c.name, c.connection::text, c.sealed_connection
{TOKENS}
 WHERE k.digest = $1::text AND $2::text IN (c.name, t.name) AND c.kind = 'http'
   AND c.connection->>'proxy' = 'stint' AND {LIVE}
""",  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayUse(TokenUse):
    """One grant on one target behind Stint's own gateway, ready for a request. ``place`` includes the
    credential that the gateway adds.
    """

    compiled: CompiledSet
    place: TargetSpec = field(repr=False)
    stored: tuple[str, bytes] = field(repr=False)

    @property
    def login(self) -> Mapping[str, Any]:
        """Return the data that the lease stores about reaching the target."""
        return {"connection": json.loads(self.stored[0]), "sealed_connection": self.stored[1]}


@dataclass(frozen=True, slots=True)
class AtGateway:
    """A grant's token at the gateway, for ``name``: the name of a cluster or of one of its targets."""

    token_digest: str
    name: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.name

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return AT_GATEWAY(values)

    def use(self, row: Row) -> GatewayUse:
        return _use(row, approved(_key(row)))

    def use_without_database(self, row: Row) -> GatewayUse | None:
        """Return the use described by a row; None if the approved scope must first be read from the database.

        Raises the same errors as ``use``.
        """
        fields = approved_before(_key(row))
        return None if fields is None else _use(row, fields)


def _key(row: Row) -> tuple[bytes, int, int]:
    return row[1] or b"", number(row[0]), number(row[2])


def _use(row: Row, fields: dict[str, Any]) -> GatewayUse:
    _, _, _, expires_at, key, digest, jkt, good_until, cluster_id, cluster, connection, sealed = row
    stored = (text(connection), sealed or b"")
    place = TargetSpec(
        cluster=text(cluster), target=fields["target"], parameters=_parameters(*stored, number(cluster_id))
    )
    return GatewayUse(
        **fields,
        expires_at=moment(expires_at),
        credential_id=number(key),
        credential_digest=text(digest),
        jkt=text(jkt),
        good_until=moment(good_until),
        place=place,
        stored=stored,
    )


# The rows are read each time; only the parsed result is cached.
@functools.lru_cache(maxsize=256)
def _parameters(connection: str, sealed: bytes, cluster_id: int) -> ConnectionParameters:
    return parameters_of("http", json.loads(connection), sealed, cluster_id=cluster_id)
