"""Facts from a server's grant tables about the accounts of grants. Read-only.

Sources: MariaDB's mysql.user, tables_priv, columns_priv, procs_priv, db, roles_mapping and proxies_priv.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass

from sessions_app.connectors.base import Json, LeaseSpec, Observed
from sessions_app.connectors.mariadb.connection import Server
from sessions_app.connectors.mariadb.names import PATTERN, SCHEMA, TABLE, GrantNames, mark_of
from sessions_app.policy.commands.mariadb.privileges import ObjectKind, Privilege

# The columns of mysql.user with server-wide privileges, in every supported version.
GLOBAL_COLUMNS = tuple(
    f"{name}_priv"
    for name in [
        "Select",
        "Insert",
        "Update",
        "Delete",
        "Create",
        "Drop",
        "Reload",
        "Shutdown",
        "Process",
        "File",
        "Grant",
        "References",
        "Index",
        "Alter",
        "Show_db",
        "Super",
        "Create_tmp_table",
        "Lock_tables",
        "Execute",
        "Repl_slave",
        "Repl_client",
        "Create_view",
        "Show_view",
        "Create_routine",
        "Alter_routine",
        "Create_user",
        "Event",
        "Trigger",
        "Create_tablespace",
        "Delete_history",
    ]
)
# The tables that Stint's account reads. ``{}`` is the condition on the user.
_SOURCES = {
    "tables_priv": (
        "SELECT User, Db, Table_name, Table_priv FROM mysql.tables_priv WHERE User {} AND Table_priv <> ''"
    ),
    "columns_priv": (
        "SELECT User, Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE User {}"
    ),
    "procs_priv": (
        "SELECT User, Db, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv WHERE User {}"
    ),
    "db": "SELECT User, Db FROM mysql.db WHERE User {}",
    "roles_mapping": "SELECT User, Role FROM mysql.roles_mapping WHERE User {}",
    "proxies_priv": "SELECT User, Proxied_user FROM mysql.proxies_priv WHERE User {}",
}
READ_TABLES = tuple(_SOURCES)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account of a grant. ``privileges`` are those that grants can include, ``extra`` all others."""

    exists: bool
    privileges: frozenset[Privilege] = frozenset()
    extra: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """Stint's own row of a grant on the server."""

    grant: str
    until: dt.datetime
    privileges: tuple[str, ...]


def accounts(server: Server, user: str | None = None) -> dict[str, AccountFacts]:
    """Return the accounts of grants by user name, or only the account of one grant. Raises ConnectorError."""
    condition, value = ("= %s", user) if user else ("REGEXP %s", PATTERN)
    wide = ", ".join(GLOBAL_COLUMNS)
    # All SQL is from constants of this module.
    users = server.rows(f"SELECT User, Host, {wide} FROM mysql.user WHERE User {condition}", (value,))  # noqa: S608
    found = {name: _Reading() for name, *_ in users}
    for name, host, *flags in users:
        found[name].exists = found[name].exists or host == "%"
        found[name].extra += [f"an account at {host}"] if host != "%" else []
        found[name].extra += [
            f"{column.removesuffix('_priv').upper()} on everything"
            for column, flag in zip(GLOBAL_COLUMNS, flags, strict=True)
            if flag == "Y"
        ]
    for source, text in _SOURCES.items():
        for name, *row in server.rows(text.format(condition), (value,)):
            found.setdefault(name, _Reading()).add(source, row)
    return {name: reading.facts() for name, reading in found.items()}


class _Reading:
    """Collects the rows about one account."""

    def __init__(self) -> None:
        self.exists = False
        self.extra: list[str] = []
        self.roles: list[str] = []
        self.privileges: set[Privilege] = set()

    def add(self, source: str, row: list[str]) -> None:
        """Add one row of a grant table."""
        if source == "db":
            self.extra.append(f"privileges on {row[0]}.*")
        elif source == "roles_mapping":
            self.roles.append(row[0])
        elif source == "proxies_priv":
            self.extra.append(f"PROXY for {row[0] or 'any account'}")
        else:
            self._add_privileges(source, row)

    def _add_privileges(self, source: str, row: list[str]) -> None:
        kind, names = _object_of(source, row)
        for word in row[-1].upper().split(","):
            if word in {"SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE"}:
                self.privileges.add(Privilege(kind, word, names))
            else:
                self.extra.append(f"{word} ON {'.'.join(names)}")

    def facts(self) -> AccountFacts:
        """Return the facts from the collected rows."""
        return AccountFacts(
            self.exists, frozenset(self.privileges), tuple(sorted(self.extra)), tuple(sorted(self.roles))
        )


def _object_of(source: str, row: list[str]) -> tuple[ObjectKind, tuple[str, ...]]:
    if source == "tables_priv":
        return "table", (row[0], row[1])
    if source == "columns_priv":
        return "column", (row[0], row[1], row[2].lower())
    kind: ObjectKind = "function" if row[2].upper() == "FUNCTION" else "procedure"
    return kind, (row[0], row[1].lower())


def stored_grants(server: Server, mark: str | None = None) -> dict[str, StoredGrant]:
    """Return Stint's own rows by mark, or only the row of one grant. Raises ConnectorError."""
    text = f"SELECT mark, grant_ref, expires_at, privileges FROM {TABLE}"  # noqa: S608 - a constant
    rows = server.rows(f"{text} WHERE mark = %s", (mark,)) if mark else server.rows(text)
    return {
        one: StoredGrant(ref, until.replace(tzinfo=dt.UTC), tuple(json.loads(privileges)))
        for one, ref, until, privileges in rows
    }


def events(server: Server) -> set[str]:
    """Return the marks of grants whose end is scheduled on the server. Raises ConnectorError."""
    rows = server.rows(
        "SELECT event_name FROM information_schema.events WHERE event_schema = %s AND status = 'ENABLED'",
        (SCHEMA,),
    )
    return {name.removeprefix("end_") for (name,) in rows}


def sessions(server: Server, user: str) -> int:
    """Return the number of connections of an account. Raises ConnectorError."""
    return int(server.value("SELECT count(*) FROM information_schema.processlist WHERE user = %s", (user,)))


def prepared(server: Server) -> list[str]:
    """Return the ids of all prepared XA transactions, as XA ROLLBACK accepts them. Raises ConnectorError."""
    return sorted(str(row[3]) for row in server.rows("XA RECOVER FORMAT='SQL'"))


def left_of(server: Server, lease: LeaseSpec) -> dict[str, Json]:
    """Count the remaining objects of a grant, by kind. ``prepared`` are the ids of prepared transactions."""
    names = GrantNames(lease.mark)
    found = accounts(server, names.user).get(names.user)
    return {
        "accounts": int(found is not None),
        "privileges": len(found.privileges) + len(found.extra) + len(found.roles) if found else 0,
        "sessions": sessions(server, names.user),
        "events": int(lease.mark in events(server)),
        "rows": len(stored_grants(server, lease.mark)),
        "prepared": _appeared(server, lease),
    }


def _appeared(server: Server, lease: LeaseSpec) -> list[Json]:
    before = lease.before.get("prepared")
    if server.parameters.xa_by_others or not isinstance(before, list):
        return []
    return [xid for xid in prepared(server) if xid not in before]


def observed(server: Server) -> list[Observed]:
    """Return every grant that has objects on the server. Raises ConnectorError."""
    found, stored, scheduled = accounts(server), stored_grants(server), events(server)
    now = server.value("SELECT UTC_TIMESTAMP(6)").replace(tzinfo=dt.UTC)
    marks = {mark for user in found if (mark := mark_of(user))} | stored.keys()
    result = []
    for mark in sorted(marks):
        account = found.get(GrantNames(mark).user, AccountFacts(exists=False))
        row = stored.get(mark)
        wrong = list(faults(account, row, is_scheduled=mark in scheduled, now=now))
        result.append(
            Observed(
                mark=mark,
                grant_ref=row.grant if row else "",
                intact=not wrong,
                detail="; ".join(wrong) or f"account {GrantNames(mark).user}",
            )
        )
    return result


def faults(
    account: AccountFacts, row: StoredGrant | None, *, is_scheduled: bool, now: dt.datetime
) -> Iterator[str]:
    """Yield the differences from what Stint created."""
    if not account.exists:
        yield "the account is missing"
    if row is None:
        yield "Stint's own row for the grant is missing"
        return
    if not is_scheduled and row.until > now:
        yield "the event that ends the grant is missing"
    given = {str(one) for one in account.privileges}
    if added := sorted(
        [*(given - set(row.privileges)), *account.extra, *map("role {}".format, account.roles)]
    ):
        yield f"the account has {', '.join(added)} in addition"
    if lost := sorted(set(row.privileges) - given):
        yield f"the account lacks {', '.join(lost)}"
