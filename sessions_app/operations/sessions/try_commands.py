"""Record many allowed command lines, each before it runs, in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import Json, record_many
from broker.audit.standing import check_stands
from broker.kernel.postgresql.prepared import prepared
from broker.kernel.postgresql.rows import Rows, ask
from broker.kernel.postgresql.writes import insert_all
from sessions_app.models import CommandRun, Grant, Lease
from sessions_app.operations.grants.write_lease import is_there
from sessions_app.operations.sessions.authorize_use import AnyUse, holder_of
from sessions_app.operations.sessions.open_session import is_live
from sessions_app.operations.sessions.try_command import (
    Tried,
    entry_of,
    latest_end,
    run_of,
    tried_of,
)
from sessions_app.policy.commands.answers import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An allowed line in an open session, as `try_command` gets it. ``request_id`` is added to its entry."""

    use: AnyUse
    session_id: int
    line: str
    decision: Allowed
    request_id: str = ""


def is_plain(use: AnyUse, decision: Allowed) -> bool:
    """Whether an allowed line needs no approval and counts against no budget."""
    return not (decision.hold or use.compiled.counts)


# These skip rows that are locked, so that no attempt waits for the lock of another grant.
_GRANTS = Rows(
    Grant,
    "holder__owner",
    tail="""
WHERE sessions_app_grant.id = ANY(%s) ORDER BY sessions_app_grant.id
  FOR NO KEY UPDATE OF sessions_app_grant SKIP LOCKED
""",
)
_TOKENS = """
SELECT id FROM sessions_app_grantcredential
 WHERE id = ANY(%s) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %s)
 ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
_SESSIONS = """
SELECT id, grant_id, target_id, proof FROM sessions_app_session
 WHERE id = ANY(%s) AND closed_at IS NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
_ENDS = "SELECT grant_id FROM sessions_app_endintent WHERE grant_id = ANY(%s)"
_REMOVED = (
    "SELECT fingerprint FROM accounts_sshpublickey WHERE fingerprint = ANY(%s) AND removed_at IS NOT NULL"
)
_LEASES = Rows(
    Lease, tail="WHERE sessions_app_lease.grant_id = ANY(%s) AND sessions_app_lease.gone_at IS NULL"
)


@prepared()
def try_commands(*, attempts: Sequence[Attempt], now: dt.datetime) -> list[Tried | None]:
    """Record plain attempts like `try_command`: with the same conditions, and under the same locks.

    Return None for each attempt that it has not recorded, because a condition does not hold, or because one
    of its rows is locked. `try_command` must then decide about it. Nothing may be sent to a target before
    this function has returned.
    """
    with transaction.atomic():
        check_stands()
        grants = _locked_grants({one.use.grant_id for one in attempts}, now)
        plain = [one for one in attempts if is_plain(one.use, one.decision)]
        usable = _usable([one for one in plain if one.use.grant_id in grants], grants, now)
        runs = {id(one): _run_of(one, grants[one.use.grant_id], now) for one in usable}
        insert_all(list(runs.values()))
        _record(usable, runs, now)
    return [
        tried_of(runs[id(one)], "allowed", one.decision, "") if id(one) in runs else None for one in attempts
    ]


def _run_of(one: Attempt, grant: Grant, now: dt.datetime) -> CommandRun:
    return run_of(one.use, one.session_id, one.line, one.decision, latest_end(grant, one.decision), now)


def _locked_grants(ids: set[int], now: dt.datetime) -> dict[int, Grant]:
    """Lock the grants, and return those that are usable. Delegated grants are left to `try_command`."""
    found = {grant.pk: grant for grant in _GRANTS(sorted(ids))}
    ending = {grant_id for (grant_id,) in ask(_ENDS, list(found))}
    return {
        key: grant
        for key, grant in found.items()
        if is_live(grant, now) and grant.held_at is None and grant.parent_id is None and key not in ending
    }


def _usable(attempts: Sequence[Attempt], grants: dict[int, Grant], now: dt.datetime) -> list[Attempt]:
    """Lock the tokens and the sessions, and return the attempts that may run."""
    tokens = {one.use.credential_id for one in attempts if one.use.credential_id is not None}
    good: set[int | None] = {None, *(key for (key,) in ask(_TOKENS, sorted(tokens), now))}
    sessions = {row[0]: row[1:] for row in ask(_SESSIONS, sorted({one.session_id for one in attempts}))}
    removed = {key for (key,) in ask(_REMOVED, sorted({proof for _, _, proof in sessions.values()}))}
    leases = {(row.grant_id, row.target_id): row for row in _LEASES(list(grants))}

    def is_usable(one: Attempt) -> bool:
        use, place = one.use, (one.use.grant_id, one.use.target.id)
        *where, proof = sessions.get(one.session_id, (0, 0, ""))
        return (
            one.decision.index in grants[use.grant_id].commands
            and use.credential_id in good
            and tuple(where) == place
            and proof not in removed
            and place in leases
            and is_there(leases[place], use.target, use.host_ca)
        )

    return [one for one in attempts if is_usable(one)]


def _record(attempts: Sequence[Attempt], runs: dict[int, CommandRun], now: dt.datetime) -> None:
    """Add one entry for each run, in one call for each holder."""
    entries: dict[Actor, list[tuple[str, dict[str, Json]]]] = {}
    for one in attempts:
        data = entry_of(one.use, runs[id(one)], one.decision)
        traced: dict[str, Json] = {"request_id": one.request_id} if one.request_id else {}
        entries.setdefault(holder_of(one.use), []).append((one.use.grant_ref, {**data, **traced}))
    for actor, each in entries.items():
        record_many(event=Event.COMMAND_ALLOWED, actor=actor, object_type="grant", entries=each, now=now)
