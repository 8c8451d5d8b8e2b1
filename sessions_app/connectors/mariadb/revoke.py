"""Remove the account of a grant, in an order that leaves no gap.

First, new logins are refused. Then sessions are killed until none is left, and the account is dropped with
its privileges. A lock alone doesn't end sessions, and removing privileges alone doesn't refuse logins.
Finally, the state of the server is read to confirm the removal.
"""

from __future__ import annotations

import datetime as dt
import time

from sessions_app.connectors.base import ConnectorError, Evidence, Json, LeaseSpec
from sessions_app.connectors.mariadb import facts
from sessions_app.connectors.mariadb.connection import Budget, Server, connected
from sessions_app.connectors.mariadb.names import TABLE, GrantNames, moment_text

# Seconds between two checks of the sessions, and the maximum number of seconds that the sessions may take to
# end.
PAUSE, PATIENCE = 0.05, 15.0


def revoke(lease: LeaseSpec, budget: Budget) -> Evidence:
    """Remove everything that belongs to a grant, and return the evidence. Raises ConnectorError."""
    asked = _now()
    with connected(lease.place, budget) as server:
        ended = _unmake(server, GrantNames(lease.mark), budget)
        left = facts.left_of(server, lease)
    return _evidence(left, {"asked_at": asked, "sessions_ended": ended})


def verify(lease: LeaseSpec, budget: Budget) -> Evidence:
    """Check what is left of a grant. Raises ConnectorError."""
    asked = _now()
    with connected(lease.place, budget) as server:
        left = facts.left_of(server, lease)
    return _evidence(left, {"asked_at": asked})


def expire(lease: LeaseSpec, budget: Budget) -> int:
    """Lock the account and kill its sessions if the server's own row says that the grant has expired.

    The server's event does the same, unless the event scheduler is off. Return the number of sessions. Raises
    ConnectorError.
    """
    names = GrantNames(lease.mark)
    with connected(lease.place, budget) as server:
        row = facts.stored_grants(server, lease.mark).get(lease.mark)
        if row is None or not server.value("SELECT UTC_TIMESTAMP(6) >= %s", (moment_text(row.until),)):
            return 0
        server.run(f"ALTER USER IF EXISTS {names.account} ACCOUNT LOCK")
        return end_sessions(server, names, budget)


def end_sessions(server: Server, names: GrantNames, budget: Budget) -> int:
    """Kill the account's sessions until none is left, and return how many there were.

    A session that rolls back a large change needs time. Raises ConnectorError if a session does not end.
    """
    first = left = facts.sessions(server, names.user)
    until = time.monotonic() + min(PATIENCE, max(0.0, budget.left - 2))
    while left:
        server.run(f"KILL HARD USER {names.account}")
        left = facts.sessions(server, names.user)
        if left and time.monotonic() > until:
            raise ConnectorError(
                f"{server.place.target.name}: {left} sessions of the grant did not end. They can't log in"
                " again, and may be rolling back a large change."
            )
        time.sleep(PAUSE if left else 0)
    return first


def _unmake(server: Server, names: GrantNames, budget: Budget) -> int:
    server.run(f"ALTER USER IF EXISTS {names.account} ACCOUNT LOCK")
    ended = end_sessions(server, names, budget)
    server.run(f"DROP USER IF EXISTS {names.account}")
    # A login that was in progress when the account was locked.
    ended += end_sessions(server, names, budget)
    server.run(f"DROP EVENT IF EXISTS {names.event}")
    server.run(f"DELETE FROM {TABLE} WHERE mark = %s", (names.mark,))  # noqa: S608 - a constant
    return ended


def _evidence(left: dict[str, Json], about: dict[str, Json]) -> Evidence:
    transactions = left["prepared"]
    detail = {**about, "answered_at": _now(), **left}
    if not isinstance(transactions, list) or not transactions:
        return Evidence(gone=not any(left.values()), detail=detail)
    fixes = " ".join(f"XA ROLLBACK {xid};" for xid in transactions)
    return Evidence(
        gone=False,
        detail=detail,
        left=(
            "Prepared transactions appeared during the grant and keep their locks. If no other application "
            f"prepared them, an administrator must run: {fixes} If other applications use XA, set "
            "xa_by_others."
        ),
    )


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
