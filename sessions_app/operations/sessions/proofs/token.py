"""Authenticate a use by a grant's token, for the tools of a cluster over MCP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from sessions_app.policy.commands.mcp.compiling import CompiledSet

# The cluster is the audience, so a token for another cluster does not match. A token also doesn't match if
# the server has moved since its tool definitions were read.
_OF_TOKEN = Statement(
    "stint_authorize_call",
    f"""
SELECT {COLUMNS},
       v.digest, k.id, k.jkt, g.held_at IS NOT NULL, c.id, c.connection::text, c.sealed_connection,
       l.made::text, least(g.expires_at, k.expires_at), k.digest
{TOKENS}{MADE}
 WHERE k.digest = $1::text AND {GOOD_TOKEN} AND c.kind = 'mcp' AND c.name = $2::text AND {live()}
""",  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUse(TokenUse):
    """One grant on one MCP server.

    ``pins`` are the digests of the tool definitions when the grant began. ``held`` means that nothing
    runs until an approver releases the grant.
    """

    compiled: CompiledSet
    held: bool
    place: TargetSpec = field(repr=False)
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ByToken:
    """A grant's token, for the tools of a cluster."""

    token_digest: str
    cluster: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.cluster

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _OF_TOKEN(values)

    def use(self, row: Row) -> CallUse:
        digest, key, jkt, held, cluster, parameters, sealed, made, good_until, credential = row[20:]
        fields = fields_of(row, text(digest), CompiledSet)
        place = TargetSpec(
            cluster=self.cluster,
            target=fields["target"],
            parameters=parameters_of(
                "mcp", json.loads(text(parameters)), sealed or b"", cluster_id=number(cluster)
            ),
        )
        return CallUse(
            **fields,
            credential_id=number(key),
            credential_digest=text(credential),
            good_until=moment(good_until),
            jkt=text(jkt),
            held=bool(number(held)),
            place=place,
            pins=_pins(json.loads(text(made))),
        )


def _pins(made: Any) -> dict[str, str]:
    tools = made.get("tools") if isinstance(made, dict) else None
    if not isinstance(tools, dict) or not all(isinstance(digest, str) for digest in tools.values()):
        raise ValueError("The definitions of the server's tools are not known.")
    return tools
