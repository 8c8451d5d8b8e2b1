"""Create or repair the account of a grant.

The account is locked until it has exactly the grant's privileges, and until the server has an event that
locks it again at the deadline and ends its sessions. So the server ends access by its own clock, without
Stint.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import replace

from sessions_app.connectors.base import ConnectorError, GrantSpec, LeaseSpec
from sessions_app.connectors.mariadb import facts
from sessions_app.connectors.mariadb.connection import Budget, Server
from sessions_app.connectors.mariadb.names import TABLE, GrantNames, identifier, moment_text
from sessions_app.connectors.mariadb.revoke import end_sessions
from sessions_app.policy.commands.mariadb.decide import CompiledSet
from sessions_app.policy.commands.mariadb.privileges import Privilege


def make(server: Server, spec: GrantSpec, budget: Budget) -> LeaseSpec:
    """Create or repair the account. Return the data for later calls, and the state before.

    Raises ConnectorError.
    """
    wanted = _wanted(server, spec)
    names = GrantNames(spec.mark)
    account = names.account_with_values
    _refuse_expired(server, spec)
    before = dict(spec.before) or {"prepared": [*facts.prepared(server)]}
    texts = sorted(map(str, wanted))
    server.run(
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING %s ACCOUNT LOCK",
        (password_hash(secrets.token_urlsafe(24)),),
    )
    server.run(
        f"REPLACE INTO {TABLE} (mark, grant_ref, expires_at, privileges) VALUES (%s, %s, %s, %s)",  # noqa: S608
        (spec.mark, spec.grant_ref, moment_text(spec.expires_at), json.dumps(texts)),
    )
    server.run(
        f"CREATE OR REPLACE EVENT {names.event} ON SCHEDULE AT %s DO BEGIN"
        f" ALTER USER {account} ACCOUNT LOCK; KILL HARD USER {account}; END",
        (moment_text(spec.expires_at),),
    )
    _give(server, names, wanted)
    _unlock(server, spec, names, budget)
    return LeaseSpec(
        grant_ref=spec.grant_ref,
        mark=spec.mark,
        place=spec.place,
        made={"account": names.user, "privileges": [*texts]},
        before=before,
    )


def password_hash(password: str) -> str:
    """Return the form in which MariaDB stores a password, so that the password itself is not sent.

    Source: MariaDB, "Authentication Plugin - mysql_native_password". The hash is safe for random passwords.
    """
    inner = hashlib.sha1(password.encode("ascii"), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def grant_statement(names: GrantNames, one: Privilege) -> str:
    """Return the statement that grants a privilege to the account."""
    return f"GRANT {clause(one)} TO {names.account}"


def clause(one: Privilege) -> str:
    """Return a privilege in the syntax of GRANT, with each name in backticks."""
    names = [identifier(name) for name in one.plain_names]
    word = {"function": "FUNCTION ", "procedure": "PROCEDURE "}.get(one.kind, "TABLE ")
    columns = f" ({names[2]})" if one.kind == "column" else ""
    return f"{one.privilege}{columns} ON {word}{names[0]}.{names[1]}"


def _wanted(server: Server, spec: GrantSpec) -> frozenset[Privilege]:
    if not isinstance(spec.commands, CompiledSet):
        raise ConnectorError(
            f"{server.place.target.name} is a MariaDB server, and the grant's commands are of kind"
            f" {spec.commands.kind}.",
            permanent=True,
        )
    try:
        wanted = spec.commands.privileges()
    except ValueError as error:
        raise ConnectorError(f"{server.place.target.name}: {error}.", permanent=True) from None
    return frozenset(_as_stored(server, wanted))


def _as_stored(server: Server, wanted: Iterable[Privilege]) -> Iterable[Privilege]:
    """Return privileges with names as the server stores them: some servers store table names in
    lowercase.
    """
    if not server.value("SELECT @@lower_case_table_names"):
        return wanted
    return (replace(one, names=tuple(name.lower() for name in one.plain_names)) for one in wanted)


def _refuse_expired(server: Server, spec: GrantSpec) -> None:
    if server.value("SELECT UTC_TIMESTAMP(6) >= %s", (moment_text(spec.expires_at),)):
        raise ConnectorError(
            f"{server.place.target.name}: the grant has expired by the server's clock.", permanent=True
        )


def _give(server: Server, names: GrantNames, wanted: frozenset[Privilege]) -> None:
    """Give the account exactly these privileges, and verify the result."""
    found = facts.accounts(server, names.user)[names.user]
    for role in found.roles:
        server.run(f"REVOKE {identifier(role)} FROM {names.account}")
    if found.extra or found.privileges - wanted:
        server.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {names.account}")
        found = facts.accounts(server, names.user)[names.user]
    for one in sorted(wanted - found.privileges, key=str):
        _grant(server, names, one)
    given = facts.accounts(server, names.user)[names.user]
    if given.extra or given.roles or given.privileges != wanted:
        raise ConnectorError(
            f"{server.place.target.name}: the privileges of {names.user} were changed by someone else"
            f" ({', '.join([*given.extra, *given.roles]) or 'too few'}). Stint retries."
        )


def _grant(server: Server, names: GrantNames, one: Privilege) -> None:
    try:
        server.run(grant_statement(names, one))
    except ConnectorError as error:
        if not error.permanent:
            raise
        raise ConnectorError(
            f"{error.message} Stint's account can't grant `{one}`. If it exists, an administrator must run:"
            f" {grant_option(server.parameters.user, one)}",
            permanent=True,
        ) from None


def grant_option(user: str, one: Privilege) -> str:
    """Return the statement for an administrator that lets Stint's account grant a privilege."""
    return f"GRANT {clause(one)} TO '{user}'@'%' WITH GRANT OPTION;"


def _unlock(server: Server, spec: GrantSpec, names: GrantNames, budget: Budget) -> None:
    """Unlock the account.

    If the deadline passed just before, and the event has already run, lock it again.
    """
    parameters = server.parameters
    require = "NONE" if parameters.tls == "disable" else "SSL"
    server.run(
        f"ALTER USER {names.account} REQUIRE {require} WITH MAX_USER_CONNECTIONS"
        f" {parameters.connection_limit} ACCOUNT UNLOCK"
    )
    try:
        _refuse_expired(server, spec)
    except ConnectorError:
        server.run(f"ALTER USER {names.account} ACCOUNT LOCK")
        end_sessions(server, names, budget)
        raise
