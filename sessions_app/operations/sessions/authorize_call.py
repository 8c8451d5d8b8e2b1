"""May whoever has this token call tools of this cluster now?

One prepared statement with the deadline in it, asked at every message: a listing, a session or an earlier call is never
authority.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from pydantic import ValidationError

from broker.audit.actor import ActorKind
from broker.audit.standing import STANDS, settle
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.statement import Statement, moment, number, text
from sessions_app.connectors.base import ConnectorError, Place
from sessions_app.operations.sessions.authorize_use import AnyUse, _bound, _kept
from sessions_app.operations.targets.cluster_connection import parameters_of
from sessions_app.policy.commands.mcp.decide import CompiledSet
from sessions_app.policy.scope import TargetFacts
from sessions_app.queries.commands import compiled_by_digest

log = structlog.get_logger(__name__)

# The cluster is the audience: a token of another one finds nothing. So does a token for a server that is not where it was
# when the definitions of its tools were read.
_LIVE = Statement(
    "stint_authorize_call",
    f"""
SELECT g.id, g.ref, g.holder_id, i.username, i.kind, c.name, c.host_ca, t.id, t.name, t.address, t.port, t.account, t.host_key,
       v.id, v.digest, g.parameters::text, g.commands::text, g.expires_at, g.finish_seconds, g.mark,
       k.id, k.jkt, CASE WHEN g.held_at IS NULL THEN '' ELSE 'held' END, c.connection::text, c.sealed_connection, l.made::text,
       least(g.expires_at, k.expires_at), k.digest
  FROM sessions_app_grantcredential k
  JOIN sessions_app_grant g ON g.id = k.grant_id
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id AND t.removed_at IS NULL
  JOIN sessions_app_cluster c ON c.id = g.cluster_id AND c.removed_at IS NULL
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_lease l ON l.grant_id = g.id AND l.target_id = t.id AND l.gone_at IS NULL AND l.made_until IS NOT NULL
   AND l.connection = c.connection AND l.address = t.address AND l.port = t.port
  JOIN accounts_identity i ON i.id = g.holder_id AND i.is_active
 WHERE k.digest = $1::text AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
   AND g.state = 'active' AND g.starts_at <= clock_timestamp() AND g.expires_at > clock_timestamp()
   AND (g.heartbeat_due_at IS NULL OR g.heartbeat_due_at > clock_timestamp())
   AND c.kind = 'mcp' AND c.name = $2::text
   AND CASE WHEN i.owner_id IS NULL THEN true
            ELSE (SELECT o.is_active FROM accounts_identity o WHERE o.id = i.owner_id) END
   AND {STANDS}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUse(AnyUse):
    """One grant on one MCP server. ``pins`` are the digests of its tools' definitions as they were when it began; ``held``:
    nothing runs until an approver says so; ``jkt`` is the thumbprint of the key that must be proven, empty for none;
    ``good_until`` is when the token opens nothing any more, which may be before its grant ends.
    """

    compiled: CompiledSet
    credential_id: int
    credential_digest: str
    good_until: dt.datetime
    jkt: str
    held: bool
    place: Place = field(repr=False)
    pins: Mapping[str, str]


def authorize_call(*, token_digest: str, cluster: str) -> CallUse | None:
    """Return the use that a token has of a cluster's tools now; None lets it do nothing.

    The database's clock decides. A grant that can't be read is none. Raises RecordContradicted, and the database's errors.
    """
    if "\0" in cluster:
        return None
    asked = [token_digest.encode(), cluster.encode()]
    rows = _LIVE(asked)
    if not rows.ntuples and settle():
        rows = _LIVE(asked)
    if rows.ntuples != 1:
        return None
    row = tuple(rows.get_value(0, column) for column in range(rows.nfields))
    try:
        return _use(row)
    except (ValueError, CannotDecrypt, ConnectorError, ValidationError) as error:
        log.warning("grant.unreadable", grant=text(row[1]), error=str(error))
        return None


def _use(row: tuple[bytes | None, ...]) -> CallUse:
    compiled = compiled_by_digest(
        number(row[13]), text(row[14]), _bound(json.loads(text(row[15]))), _kept(json.loads(text(row[16])))
    )
    if not isinstance(compiled, CompiledSet):
        raise ValueError("Its commands are not for MCP.")  # noqa: TRY004  # a row, not an argument
    target = TargetFacts(
        id=number(row[7]), name=text(row[8]), address=text(row[9]), port=number(row[10]), account=text(row[11]),
        host_key=text(row[12]),
    )  # fmt: skip
    parameters = parameters_of("mcp", json.loads(text(row[23])), row[24] or b"")
    return CallUse(
        grant_id=number(row[0]), grant_ref=text(row[1]), holder_id=number(row[2]), holder=text(row[3]),
        holder_kind=cast("ActorKind", text(row[4])), cluster=text(row[5]), host_ca=text(row[6]), target=target,
        compiled=compiled, expires_at=moment(row[17]), finish_seconds=number(row[18]), mark=text(row[19]),
        credential_id=number(row[20]), credential_digest=text(row[27]), good_until=moment(row[26]), jkt=text(row[21]),
        held=bool(row[22]),
        place=Place(cluster=text(row[5]), target=target, parameters=parameters), pins=_pins(json.loads(text(row[25]))),
    )  # fmt: skip


def _pins(made: Any) -> dict[str, str]:
    tools = made.get("tools") if isinstance(made, dict) else None
    if not isinstance(tools, dict) or not all(isinstance(digest, str) for digest in tools.values()):
        raise ValueError("What its tools were is not known.")
    return tools
