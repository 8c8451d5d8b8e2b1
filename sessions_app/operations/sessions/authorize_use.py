"""Decide whether a grant can be used here and now, and for what.

Every entry point calls this module, regardless of the kind of proof. The decision is one prepared statement
over partial indexes, sent and read in libpq's own formats. The deadline is part of the statement, so access
ends on time even if no worker runs. A list, a session or an earlier decision never authorizes anything. The
statement runs for every command, call and request, so it must be fast.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast

import structlog

from broker.audit.actor import Actor, ActorKind
from broker.audit.standing import STANDS, settle
from broker.kernel.crypto import CannotDecrypt
from broker.kernel.statement import Answer, moment, number, text
from broker.kernel.trace_ids import Life
from sessions_app.connectors.base import ConnectorError
from sessions_app.policy.commands import answers
from sessions_app.policy.scope import TargetFacts
from sessions_app.queries.catalog.command_sets import compiled_by_digest

log = structlog.get_logger(__name__)

Row = tuple[bytes | None, ...]
# The errors that a proof raises for a grant row that can't be read.
UNREADABLE = (ValueError, CannotDecrypt, ConnectorError)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyUse:
    """One grant on one target, of any kind, ready to use: what may run there, until when, and how to reach
    the target.

    ``credential_id`` is the grant's token in use; None if there is none. ``client`` is the client's address;
    empty if unknown.
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
    request_id: int
    credential_id: int | None = None
    client: str = ""

    @property
    def login(self) -> Mapping[str, Any]:
        """Return the data that the lease stores about reaching the target, for kinds whose connector uses
        no key of the grant.
        """
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse(AnyUse):
    """One grant on one target that is used with a token.

    ``good_until`` is when the token expires, which can be before its grant ends. ``jkt`` is the thumbprint of
    the key that each request must prove; empty if there is none.
    """

    credential_id: int
    credential_digest: str
    good_until: dt.datetime
    jkt: str


def life_of_use(use: AnyUse, *_: object, **__: object) -> Life:
    """Return the lifetime of a use's grant, for traces."""
    return Life(use.request_id, use.grant_ref)


def holder_of(use: AnyUse) -> Actor:
    """Return the actor to name in the record for a use."""
    return Actor(name=use.holder, id=use.holder_id, kind=use.holder_kind)


def place_of(use: AnyUse) -> dict[str, str]:
    """Return the client address of a use in the format of record entries."""
    return {"from": use.client} if use.client else {}


Used_co = TypeVar("Used_co", bound=AnyUse, covariant=True)
Used = TypeVar("Used", bound=AnyUse)


class Proof(Protocol[Used_co]):
    """A caller's proof at an entry point, with the target or cluster for which it was presented."""

    def values(self) -> Sequence[str | None]:
        """Return the values for the proof's SQL statement."""

    def ask(self, values: Sequence[bytes | None]) -> Answer:
        """Run the proof's statement, whose second column is the grant's reference."""

    def use(self, row: Row) -> Used_co | None:
        """Return the use described by a row; None if the proof is insufficient.

        Raises ValueError if the grant can't be read.
        """


def used_from(use: Used, client: str) -> Used:
    """Return a use with the client's address."""
    return replace(use, client=client[:64])


def authorize_use(*, by: Proof[Used]) -> list[Used]:
    """Return the uses that a proof currently authorizes, latest deadline first. An empty list allows nothing.

    A grant that can't be read is left out, so it allows nothing, but doesn't hide other grants. Raises
    RecordContradicted, and the database's errors.
    """
    asked = values_of(by)
    if asked is None:
        return []
    rows = by.ask(asked)
    if not rows.ntuples and settle():
        rows = by.ask(asked)
    uses = []
    for row in rows_in(rows):
        try:
            use = by.use(row)
        except UNREADABLE as error:
            log.warning("grant.unreadable", grant=text(row[1]), error=str(error))
            continue
        if use is not None:
            uses.append(use)
    return sorted(uses, key=lambda use: use.expires_at, reverse=True)


def values_of(by: Proof[Used]) -> list[bytes | None] | None:
    """Return the encoded values for a proof's statement; None if they can't be sent."""
    asked = [None if value is None else value.encode() for value in by.values()]
    # libpq would stop reading at a NUL byte.
    return None if any(b"\0" in value for value in asked if value) else asked


def rows_in(answer: Answer) -> Iterator[Row]:
    """Yield the rows of a query's result."""
    for at in range(answer.ntuples):
        yield tuple(answer.get_value(at, column) for column in range(answer.nfields))


def only(uses: list[Used]) -> Used | None:
    """Return the only use of a token; None if there is none, or if several uses make it ambiguous."""
    return uses[0] if len(uses) == 1 else None


COLUMNS = """
       g.id, g.ref, g.holder_id, i.username, i.kind, c.name, c.host_ca, t.id, t.name, t.address, t.port,
       t.account, t.host_key, g.command_set_version_id, g.parameters::text, g.commands::text, g.expires_at,
       g.finish_seconds, g.mark, g.request_id"""


def live(at: str = "") -> str:
    """Return the SQL condition that a grant, and all grants from which it was delegated, can be used now
    by active holders, and that the record is not contradicted.

    ``at`` is a time as an SQL expression. The grant must be usable both at that time and when the statement
    runs.
    """
    clock = "clock_timestamp()"
    late = f"greatest({at}, {clock})" if at else clock
    return f"""
       g.state = 'active' AND g.starts_at <= {at or clock} AND g.expires_at > {late}
   AND NOT EXISTS (SELECT FROM sessions_app_endintent e WHERE e.grant_id = g.id)
   AND (g.heartbeat_due_at IS NULL OR g.heartbeat_due_at > {late})
   AND (g.parent_id IS NULL OR stint_usable_until(g.parent_id) > {late})
   AND t.removed_at IS NULL AND c.removed_at IS NULL AND i.is_active
   AND CASE WHEN i.owner_id IS NULL THEN true
            ELSE (SELECT o.is_active FROM accounts_identity o WHERE o.id = i.owner_id) END
   AND {STANDS}"""  # noqa: S608  # fixed text


GOOD_TOKEN = """
       k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"""  # noqa: S105  # a condition
# Every grant with a token, joined with each of its targets.
TOKENS = """
  FROM sessions_app_grantcredential k
  JOIN sessions_app_grant g ON g.id = k.grant_id
  JOIN sessions_app_grant_targets gt ON gt.grant_id = g.id
  JOIN sessions_app_target t ON t.id = gt.target_id AND t.cluster_id = g.cluster_id
  JOIN sessions_app_cluster c ON c.id = g.cluster_id
  JOIN accounts_identity i ON i.id = g.holder_id"""
# The approved version, and the lease on the target, unless the target has moved since.
MADE = """
  JOIN sessions_app_commandsetversion v ON v.id = g.command_set_version_id
  JOIN sessions_app_lease l ON l.grant_id = g.id AND l.target_id = t.id AND l.gone_at IS NULL
   AND l.made_until IS NOT NULL
   AND l.connection = c.connection AND l.address = t.address AND l.port = t.port"""
_Compiled = TypeVar("_Compiled", bound=answers.CompiledSet)


def fields_of(row: Row, digest: str, kind: type[_Compiled]) -> dict[str, Any]:
    """Return the values of `COLUMNS` as the fields of a use, with commands of the given kind.

    Raises ValueError if they can't be read.
    """
    compiled = compiled_by_digest(
        number(row[13]), digest, _bound(json.loads(text(row[14]))), _kept(json.loads(text(row[15])))
    )
    if not isinstance(compiled, kind):
        raise ValueError("The grant's commands are for another kind of cluster.")  # noqa: TRY004  # a row, not an argument
    return {
        "grant_id": number(row[0]),
        "grant_ref": text(row[1]),
        "holder_id": number(row[2]),
        "holder": text(row[3]),
        "holder_kind": cast("ActorKind", text(row[4])),
        "cluster": text(row[5]),
        "host_ca": text(row[6]),
        "target": TargetFacts(
            id=number(row[7]),
            name=text(row[8]),
            address=text(row[9]),
            port=number(row[10]),
            account=text(row[11]),
            host_key=text(row[12]),
        ),
        "compiled": compiled,
        "expires_at": moment(row[16]),
        "finish_seconds": number(row[17]),
        "mark": text(row[18]),
        "request_id": number(row[19]),
    }


def _bound(data: Any) -> dict[str, str]:
    """Return stored parameters. Raises ValueError for data that this code never stores."""
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ValueError("The parameters must map names to strings.")
    return data


def _kept(data: Any) -> list[int]:
    """Return the stored indices of commands.

    Raises ValueError, also for null, which could mean "all commands" elsewhere.
    """
    if not isinstance(data, list) or not all(type(index) is int for index in data):
        raise ValueError("The commands are not a list of numbers.")
    return data
