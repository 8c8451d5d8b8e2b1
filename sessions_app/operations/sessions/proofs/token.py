"""The token of a grant, at the tools of a cluster over MCP."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.kernel.statement import Answer, Statement, moment, number, text
from sessions_app.connectors.base import Place
from sessions_app.operations.sessions.authorize_use import COLUMNS, GOOD_TOKEN, AnyUse, Row, fields_of, live
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.commands.mcp.decide import CompiledSet

# The cluster is the audience: a token of another one finds nothing. So does a token for a server that is not where it was
# when the definitions of its tools were read.
_OF_TOKEN = Statement(
    "stint_authorize_call",
    f"""
SELECT {COLUMNS},
       v.digest, k.id, k.jkt, g.held_at IS NOT NULL, c.connection::text, c.sealed_connection, l.made::text,
       least(g.expires_at, k.expires_at), k.digest
  FROM sessions_app_grantcredential k
  JOIN sessions_app_grant g ON g.id = k.grant_id
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_lease l ON l.grant_id = g.id AND l.target_id = t.id AND l.gone_at IS NULL AND l.made_until IS NOT NULL
   AND l.connection = c.connection AND l.address = t.address AND l.port = t.port
  JOIN accounts_identity i ON i.id = g.holder_id
 WHERE {GOOD_TOKEN} AND c.kind = 'mcp' AND c.name = $2::text AND {live()}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUse(AnyUse):
    """One grant on one MCP server. ``pins`` are the digests of its tools' definitions as they were when it began; ``held``:
    nothing runs until an approver says so; ``jkt`` is the thumbprint of the key that must be proven, empty for none;
    ``good_until`` is when the token expires, which can be before its grant ends.
    """

    compiled: CompiledSet
    credential_id: int
    credential_digest: str
    good_until: dt.datetime
    jkt: str
    held: bool
    place: Place = field(repr=False)
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ByToken:
    """The token of a grant, at the tools of a cluster."""

    token_digest: str
    cluster: str

    def values(self) -> Sequence[str | None]:
        return self.token_digest, self.cluster

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _OF_TOKEN(values)

    def use(self, row: Row) -> CallUse:
        digest, key, jkt, held, parameters, sealed, made, good_until, credential = row[19:]
        fields = fields_of(row, text(digest), CompiledSet)
        place = Place(
            cluster=self.cluster,
            target=fields["target"],
            parameters=parameters_of("mcp", json.loads(text(parameters)), sealed or b""),
        )
        return CallUse(
            **fields, credential_id=number(key), credential_digest=text(credential), good_until=moment(good_until),
            jkt=text(jkt), held=bool(number(held)), place=place, pins=_pins(json.loads(text(made))),
        )  # fmt: skip


def _pins(made: Any) -> dict[str, str]:
    tools = made.get("tools") if isinstance(made, dict) else None
    if not isinstance(tools, dict) or not all(isinstance(digest, str) for digest in tools.values()):
        raise ValueError("What its tools were is not known.")
    return tools
