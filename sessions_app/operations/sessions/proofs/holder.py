"""Authorize a holder at a host over SSH, authenticated by key or by signing in."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from broker.kernel.statement import Answer, Statement, number
from sessions_app.connectors.base import TargetSpec
from sessions_app.models import CommandSetVersion
from sessions_app.operations.sessions.authorize_use import COLUMNS, AnyUse, Row, fields_of, live
from sessions_app.policy.commands.ssh.decide import CompiledSet

_OF_HOLDER = Statement(
    "stint_authorize_use",
    f"""
SELECT {COLUMNS}
  FROM sessions_app_grant g
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id AND c.id = t.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id
 WHERE g.holder_id = $1::bigint AND g.held_at IS NULL AND t.name = $2::text AND c.kind = 'ssh'
   AND ($4::text IS NULL OR g.ref = $4::text) AND {live("$3::timestamptz")}
""",  # noqa: S608  # fixed text
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(AnyUse):
    """One grant on one host, over SSH."""

    compiled: CompiledSet

    @property
    def place(self) -> TargetSpec:
        """Return the host on which the commands run."""
        return TargetSpec(cluster=self.cluster, target=self.target, host_ca=self.host_ca)


@dataclass(frozen=True, slots=True)
class ByHolder:
    """An authenticated identity at a host. ``grant_ref`` None means any of its grants."""

    holder_id: int
    target_name: str
    grant_ref: str | None
    now: dt.datetime

    def values(self) -> Sequence[str | None]:
        return str(self.holder_id), self.target_name, self.now.isoformat(), self.grant_ref

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        return _OF_HOLDER(values)

    def use(self, row: Row) -> Use:
        return _line_use(row)


# The row is read each time; only the parsed result is cached. The mark identifies the grant forever, and the
# database rejects any change to the approved version.
@functools.lru_cache(maxsize=4096)
def _line_use(row: Row) -> Use:
    digest = CommandSetVersion.objects.values_list("digest", flat=True).get(pk=number(row[13]))
    return Use(**fields_of(row, digest, CompiledSet))
