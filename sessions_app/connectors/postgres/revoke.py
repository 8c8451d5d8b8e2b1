"""Remove the roles of a grant, in an order that leaves no gap.

First, the sessions are signaled to end, so that they don't wait for the steps that follow. New logins are
then refused, and sessions are terminated by the role's OID until there are none.
Memberships are revoked, so that privileges are gone in every database. Prepared transactions, which keep
locks, are rolled back. Then the roles' objects, their privileges, and what they granted to others are
removed, in each database that the server's shared catalog lists. The roles are dropped, and sessions are
checked once more. Last, the state before the grant is compared with the current state.

A database that can't be reached does not block the cleanup of the others, but makes the revoke fail. Until
that database is cleaned, the role remains, without login, session or privilege.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql

from sessions_app.connectors.base import ConnectorError, Evidence, Json, LeaseSpec
from sessions_app.connectors.postgres.connection import (
    Budget,
    CollisionError,
    LockedError,
    Server,
    connected,
    repeated,
)
from sessions_app.connectors.postgres.facts import RoleFacts, grant_roles, left_of
from sessions_app.connectors.postgres.handed import appeared, complaint
from sessions_app.connectors.postgres.names import role_names
from sessions_app.connectors.postgres.onward import revoke_onward_memberships
from sessions_app.connectors.postgres.owned import clean_databases
from sessions_app.connectors.postgres.prepared import roll_back_prepared
from sessions_app.connectors.postgres.slots import drop_slots, held_slots

BACKENDS_SECONDS = 8.0
FIRST_PAUSE, LAST_PAUSE = 0.004, 0.1
# How long to wait for the lock on a role's row before its sessions and prepared transactions are ended, and
# how many times.
LOCK_PATIENCE = "100ms"
LOCKED_ATTEMPTS = 10

_TERMINATE: LiteralString = (
    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = ANY (%s)"
)

# A session that uses a replication slot is terminated only after its slot was saved in the role's comment.
_CUT: LiteralString = """
SELECT a.pid, pg_terminate_backend(a.pid) FROM pg_stat_activity a
WHERE a.usesysid = ANY (%s) AND a.backend_type = 'client backend'
  AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = a.pid)
"""

_EXPIRE: LiteralString = """
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE r.rolname = ANY (%s) AND r.rolvaliduntil <= clock_timestamp()
"""


@dataclass
class _Work:
    """A revocation in progress: what was found and done, and how many milliseconds each step took."""

    server: Server
    lease: LeaseSpec
    budget: Budget
    found: dict[str, RoleFacts] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    # The process IDs of the sessions that were terminated.
    ended: set[int] = field(default_factory=set)
    rolled_back: int = 0
    detail: dict[str, Json] = field(default_factory=dict)
    timings: dict[str, Json] = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        return list(self.found)

    @property
    def oids(self) -> list[int]:
        return sorted(self.numbers)

    def look(self) -> None:
        """Find the roles and store their OIDs: sessions keep the OIDs even after the roles are dropped."""
        self.found = grant_roles(self.server, role_names(self.lease.mark).both)
        self.numbers |= {facts.oid for facts in self.found.values()} | set(_known_oids(self.lease))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.timings[name] = round((time.monotonic() - began) * 1000, 1)


def _known_oids(lease: LeaseSpec) -> list[int]:
    """Return the OIDs that the roles had when they were created, in case someone has dropped the roles."""
    return [oid for key in ("oid", "rights_oid") if isinstance(oid := lease.made.get(key), int)]


def revoke(lease: LeaseSpec, budget: Budget) -> Evidence:
    """Remove everything of a grant and return the evidence. Raises ConnectorError."""
    asked = now_text()
    with connected(lease.place, budget, purpose=f"stint {lease.grant_ref}") as server:
        work = _Work(server, lease, budget)
        _cut(work)
        left = _unmade(work)
        with work.step("compare"):
            compared, new = appeared(server, lease.before, budget)
        if new:
            raise complaint(server, new)
    work.detail |= compared
    return Evidence(
        gone=not any(left.values()),
        detail={"asked_at": asked, "answered_at": now_text(), **left, **work.detail, "ms": work.timings},
    )


def _cut(work: _Work) -> None:
    """Signal the sessions to end. If that fails, a later step fails and says why."""
    with contextlib.suppress(ConnectorError):
        work.ended |= {row[0] for row in work.server.rows(_CUT, (_known_oids(work.lease),))}


def expire(lease: LeaseSpec, budget: Budget) -> int:
    """Terminate the sessions of roles whose VALID UNTIL has passed, and return how many. Raises
    ConnectorError.
    """
    with connected(lease.place, budget, purpose=f"stint {lease.grant_ref}") as server:
        return int(server.value(_EXPIRE, (list(role_names(lease.mark).both),)))


def verify(lease: LeaseSpec, budget: Budget) -> Evidence:
    """Check what is left of a grant. Raises ConnectorError."""
    asked = now_text()
    names = role_names(lease.mark)
    with connected(lease.place, budget, purpose=f"stint {lease.grant_ref}") as server:
        oids = [facts.oid for facts in grant_roles(server, names.both).values()] + _known_oids(lease)
        left = left_of(server, names, oids)
        compared, new = appeared(server, lease.before, budget)
    return Evidence(
        gone=not any(left.values()) and not new,
        detail={"asked_at": asked, "answered_at": now_text(), **left, **compared},
    )


def _unmade(work: _Work) -> dict[str, Json]:
    """Remove everything, and return what is left. An error is raised only if something is left;
    otherwise, another revocation has removed everything.
    """
    names = role_names(work.lease.mark)
    try:
        repeated(work.budget, lambda: _unmake(work))
    except ConnectorError:
        if any(left_of(work.server, names, work.oids).values()):
            raise
    return left_of(work.server, names, work.oids)


def _unmake(work: _Work) -> None:
    work.look()
    with work.step("no_login"):
        kept_login = _forbid_login(work)
    with work.step("backends"):
        slots = held_slots(work.server, work.found, work.oids)
        work.ended |= end_backends(work.server, work.oids, work.budget)
        work.detail["backends_ended"] = len(work.ended)
    with work.step("memberships"):
        work.detail["memberships_revoked"] = _leave_roles(work)
        given = revoke_onward_memberships(work.server, work.oids)
        work.detail["onward_memberships_revoked"] = [*given]
    if kept_login is not None:
        raise kept_login
    with work.step("prepared"):
        _roll_back(work)
        work.detail["slots_dropped"] = drop_slots(work.server, slots)
    with work.step("owned"):
        work.detail["databases"] = clean_databases(work.server, work.roles, work.oids, work.budget)
    with work.step("drop"):
        _drop(work)
    with work.step("last_look"):
        # A session that was logging in when NOLOGIN was set is now visible, and has no privileges left.
        work.detail["late_backends_ended"] = len(end_backends(work.server, work.oids, work.budget))


def _forbid_login(work: _Work) -> ConnectorError | None:
    """Refuse new logins, and return the error if that fails.

    A role that someone made more powerful than the broker's role keeps its login. In that case,
    its sessions and memberships are ended before the error is raised.
    """
    failed = None
    for role in work.roles:
        try:
            _alter_no_login(work, role)
        except CollisionError:
            raise
        except ConnectorError as error:
            fix = sql.SQL("ALTER ROLE {} NOLOGIN NOSUPERUSER NOREPLICATION;").format(sql.Identifier(role))
            failed = ConnectorError(
                f"{error} An administrator must run: {fix.as_string()}", permanent=error.permanent
            )
    return failed


def _alter_no_login(work: _Work, role: str) -> None:
    """Set NOLOGIN, after ending the sessions and prepared transactions that lock the role's row.

    A holder can change their own password and leave that transaction open, in a session or prepared, which
    locks the row. Sessions that already wait for the row get it before new logins do, so this loop ends.
    """
    for _ in range(LOCKED_ATTEMPTS):
        try:
            with work.server.transaction():
                work.server.run(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_PATIENCE)))
                work.server.run(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except LockedError:
            work.ended |= end_backends(work.server, work.oids, work.budget)
            _roll_back(work)
        else:
            return
    work.server.run(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _roll_back(work: _Work) -> None:
    _become_member(work)
    work.rolled_back += roll_back_prepared(work.server, work.roles, work.budget)
    work.detail["prepared_rolled_back"] = work.rolled_back


def end_backends(server: Server, oids: Sequence[int], budget: Budget) -> set[int]:
    """Terminate the sessions of roles until none is left, and return their process IDs.

    Raises ConnectorError if a session does not end.
    """
    ends, pause, ended = time.monotonic() + min(BACKENDS_SECONDS, budget.left), FIRST_PAUSE, set[int]()
    while seen := _signal(server, oids):
        ended |= seen
        if time.monotonic() > ends:
            raise ConnectorError(
                f"{server.place.target.name}: {len(seen)} sessions of the grant did not end. They can't "
                "log in again; terminate them on the server."
            )
        time.sleep(pause)
        pause = min(LAST_PAUSE, pause * 2)
    return ended


def _signal(server: Server, oids: Sequence[int]) -> set[int]:
    """Signal every session of the roles to end, and return their process IDs."""
    try:
        return {row[0] for row in server.rows(_TERMINATE, (list(oids),))}
    except ConnectorError as error:
        if not error.permanent:
            raise
        broker = sql.Identifier(server.connection.info.user).as_string()
        raise ConnectorError(
            f"{error} An administrator must run: GRANT pg_signal_backend TO {broker};", permanent=True
        ) from None


def _leave_roles(work: _Work) -> int:
    """Revoke every membership of the roles, and return their number.

    A membership that another role granted can't be revoked here, but ends when the role is dropped.
    """
    count = 0
    for facts in work.found.values():
        for role in facts.roles:
            count += _leave(work.server, role, facts.name)
    return count


def _leave(server: Server, role: str, member: str) -> bool:
    try:
        server.run(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(role), sql.Identifier(member)))
    except ConnectorError as error:
        if not error.permanent:
            raise
        return False
    return True


def _become_member(work: _Work) -> None:
    """Make the broker's role a member of the roles, because reassigning or dropping a role's objects requires
    its privileges.
    """
    if work.server.superuser:
        return
    how = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if work.server.version >= 16 else "")
    for role in work.roles:
        work.server.run(sql.SQL("GRANT {} TO CURRENT_USER{}").format(sql.Identifier(role), how))


def _drop(work: _Work) -> None:
    if not work.roles:
        return
    names = sql.SQL(", ").join(map(sql.Identifier, work.roles))
    try:
        work.server.run(sql.SQL("DROP ROLE IF EXISTS {}").format(names))
    except CollisionError:
        raise
    except ConnectorError as error:
        fix = sql.SQL("DROP OWNED BY {};").format(names).as_string()
        message = f"{error} An administrator must run in each database that it names: {fix}"
        raise ConnectorError(message, permanent=error.permanent) from None


def now_text() -> str:
    """Return the current time for evidence, in ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
