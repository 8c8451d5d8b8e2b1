"""May this identity use this host now, and with what?"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from django.db import connection

from broker.audit.actor import ActorKind
from sessions_app.policy.commands.ssh.decide import CompiledSet
from sessions_app.policy.scope import TargetFacts
from sessions_app.queries.commands import compiled_by_digest

log = structlog.get_logger(__name__)

# One prepared statement over partial indexes, with the deadline in it: the clock decides, not what a worker did so far.
_LIVE = """
SELECT g.id, g.ref, g.holder_id, i.username, i.kind, c.name, c.host_ca, t.id, t.name, t.address, t.port, t.account, t.host_key,
       v.id, v.digest, g.parameters::text, g.commands::text, g.expires_at, g.finish_seconds, g.token
  FROM sessions_app_grant g
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.removed_at IS NULL
  JOIN sessions_app_cluster c ON c.id = g.cluster_id AND c.removed_at IS NULL AND c.id = t.cluster_id
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN accounts_identity i ON i.id = g.holder_id AND i.is_active
  LEFT JOIN accounts_identity o ON o.id = i.owner_id
 WHERE g.holder_id = %(holder)s AND g.state = 'active' AND g.held_at IS NULL AND t.name = %(target)s
   AND c.kind = 'ssh' AND g.starts_at <= %(now)s AND g.expires_at > greatest(%(now)s, clock_timestamp())
   AND (i.owner_id IS NULL OR o.is_active)
   AND (%(ref)s::text IS NULL OR g.ref = %(ref)s)
 ORDER BY g.expires_at DESC
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One grant on one target, ready to be used: what may run there, until when, and how to reach it."""

    grant_id: int
    grant_ref: str
    holder_id: int
    holder: str
    holder_kind: ActorKind
    cluster: str
    host_ca: str
    target: TargetFacts
    compiled: CompiledSet
    expires_at: dt.datetime
    finish_seconds: int
    token: str


def authorize_use(*, holder_id: int, target_name: str, grant_ref: str | None, now: dt.datetime) -> list[Use]:
    """Return the grants that let the identity use the target now; an empty list lets it do nothing.

    A grant that can't be read is left out, so that it opens nothing and hides no other. Raises the database's errors.
    """
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    asked = {"holder": holder_id, "target": target_name, "ref": grant_ref, "now": now}
    with psycopg.Cursor(raw) as cursor:
        cursor.execute(_LIVE, asked, prepare=True, binary=True)
        rows = cursor.fetchall()
    return [use for row in rows if (use := _use(row)) is not None]


def _use(row: tuple[Any, ...]) -> Use | None:
    (grant_id, ref, holder_id, holder, holder_kind, cluster, host_ca, target_id, target, address, port, account, host_key,
     version_id, digest, parameters, commands, expires_at, finish_seconds, token) = row  # fmt: skip
    try:
        found = compiled_by_digest(
            version_id, digest, _bound(json.loads(parameters)), _kept(json.loads(commands))
        )
    except ValueError as error:
        log.warning("grant.unreadable", grant=ref, error=str(error))
        return None
    if not isinstance(found, CompiledSet):
        log.warning("grant.unreadable", grant=ref, error="Its commands are not for SSH.")
        return None
    return Use(
        grant_id=grant_id,
        grant_ref=ref,
        holder_id=holder_id,
        holder=holder,
        holder_kind=holder_kind,
        cluster=cluster,
        host_ca=host_ca,
        target=TargetFacts(
            id=target_id, name=target, address=address, port=port, account=account, host_key=host_key
        ),
        compiled=found,
        expires_at=expires_at,
        finish_seconds=finish_seconds,
        token=token,
    )


def _bound(data: Any) -> dict[str, str]:
    """Return stored parameters. Raises ValueError for anything that this code never stores."""
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ValueError("The parameters are not names with texts.")
    return data


def _kept(data: Any) -> list[int]:
    """Return the stored indices of commands. Raises ValueError, also for none, which elsewhere could mean all."""
    if not isinstance(data, list) or not all(type(index) is int for index in data):
        raise ValueError("The commands are not a list of numbers.")
    return data
