"""May this identity use this host now, and with what?"""

from __future__ import annotations

import datetime as dt
import functools
import json
from dataclasses import dataclass
from typing import Any, cast

import structlog

from broker.audit.actor import ActorKind
from broker.audit.standing import STANDS, settle
from broker.kernel.statement import Statement, moment, number, text
from sessions_app.connectors.base import Place
from sessions_app.models import CommandSetVersion
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.ssh.decide import CompiledSet
from sessions_app.policy.scope import TargetFacts
from sessions_app.queries.commands import compiled_by_digest

log = structlog.get_logger(__name__)

# One prepared statement over partial indexes, with the deadline in it: the clock decides, not what a worker did so far.
_LIVE = Statement(
    "stint_authorize_use",
    f"""
SELECT g.id, g.ref, g.holder_id, i.username, i.kind, c.name, c.host_ca, t.id, t.name, t.address, t.port, t.account, t.host_key,
       g.command_set_version_id, g.parameters::text, g.commands::text, g.expires_at, g.finish_seconds, g.mark
  FROM sessions_app_grant g
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.removed_at IS NULL
  JOIN sessions_app_cluster c ON c.id = g.cluster_id AND c.removed_at IS NULL AND c.id = t.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id AND i.is_active
 WHERE g.holder_id = $1::bigint AND g.state = 'active' AND g.held_at IS NULL AND t.name = $2::text
   AND c.kind = 'ssh' AND g.starts_at <= $3::timestamptz AND g.expires_at > greatest($3::timestamptz, clock_timestamp())
   AND (g.heartbeat_due_at IS NULL OR g.heartbeat_due_at > greatest($3::timestamptz, clock_timestamp()))
   AND CASE WHEN i.owner_id IS NULL THEN true
            ELSE (SELECT o.is_active FROM accounts_identity o WHERE o.id = i.owner_id) END
   AND ($4::text IS NULL OR g.ref = $4::text) AND {STANDS}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyUse:
    """One grant on one target of any kind, ready to be used: what may run there, until when, and how to reach it.
    ``credential_id`` is the token of the grant that it is used with, None where there is none.
    """

    grant_id: int
    grant_ref: str
    holder_id: int
    holder: str
    holder_kind: ActorKind
    cluster: str
    host_ca: str
    target: TargetFacts
    compiled: answers.CompiledSet
    expires_at: dt.datetime
    finish_seconds: int
    mark: str
    credential_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(AnyUse):
    """One grant on one host, over SSH."""

    compiled: CompiledSet

    @property
    def place(self) -> Place:
        """Where its commands run."""
        return Place(cluster=self.cluster, target=self.target, host_ca=self.host_ca)


def authorize_use(*, holder_id: int, target_name: str, grant_ref: str | None, now: dt.datetime) -> list[Use]:
    """Return the grants that let the identity use the target now; an empty list lets it do nothing.

    A grant that can't be read is left out, so that it opens nothing and hides no other. Raises RecordContradicted, and
    the database's errors.
    """
    if "\0" in target_name or "\0" in (grant_ref or ""):
        # libpq would read no further than that.
        return []
    asked = [str(holder_id).encode(), target_name.encode(), now.isoformat().encode(), _or_null(grant_ref)]
    rows = _LIVE(asked)
    if not rows.ntuples and settle():
        rows = _LIVE(asked)
    uses = []
    for row in range(rows.ntuples):
        values = tuple(rows.get_value(row, column) for column in range(rows.nfields))
        try:
            uses.append(_use(values))
        except ValueError as error:
            log.warning("grant.unreadable", grant=text(values[1]), error=str(error))
    return sorted(uses, key=lambda use: use.expires_at, reverse=True)


def _or_null(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


# What is permitted is read each time; the same row, read again, only need not be understood again. Its mark names the
# grant for ever, and the database refuses any change of the version that was approved.
@functools.lru_cache(maxsize=4096)
def _use(row: tuple[bytes | None, ...]) -> Use:
    """Return what a row says. Raises ValueError for a row, or a command set behind it, that can't be read."""
    (grant_id, holder_id, target_id, port, version_id, finish_seconds) = (
        number(row[at]) for at in (0, 2, 7, 10, 13, 17)
    )
    (ref, holder, holder_kind, cluster, host_ca, target, address, account, host_key, mark) = (
        text(row[at]) for at in (1, 3, 4, 5, 6, 8, 9, 11, 12, 18)
    )
    digest = CommandSetVersion.objects.values_list("digest", flat=True).get(pk=version_id)
    found = compiled_by_digest(
        version_id, digest, _bound(json.loads(text(row[14]))), _kept(json.loads(text(row[15])))
    )
    if not isinstance(found, CompiledSet):
        raise ValueError("Its commands are not for SSH.")  # noqa: TRY004  # a row, not an argument
    return Use(
        grant_id=grant_id,
        grant_ref=ref,
        holder_id=holder_id,
        holder=holder,
        holder_kind=cast("ActorKind", holder_kind),
        cluster=cluster,
        host_ca=host_ca,
        target=TargetFacts(
            id=target_id, name=target, address=address, port=port, account=account, host_key=host_key
        ),
        compiled=found,
        expires_at=moment(row[16]),
        finish_seconds=finish_seconds,
        mark=mark,
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
