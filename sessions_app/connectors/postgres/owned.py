"""What the roles of a grant own or were granted, in every database of a server.

pg_shdepend is shared by all databases and names each object that depends on a role, which is what DROP ROLE itself goes by.
So one question tells in which databases there is something, and only these are gone to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from sessions_app.connectors.base import ConnectorError, Json
from sessions_app.connectors.postgres.connection import Budget, Server, connected, repeated
from sessions_app.connectors.postgres.onward import revoke_onward
from sessions_app.connectors.postgres.parameters import parameters_of

# Databases and other shared objects have number 0; any database will do for these.
_DEPENDENCIES: LiteralString = """
SELECT coalesce(d.datname::text, ''), coalesce(d.datallowconn, true),
       count(s.refobjid) FILTER (WHERE s.deptype = 'o'), count(s.refobjid) FILTER (WHERE s.deptype <> 'o')
FROM (SELECT oid, datname, datallowconn FROM pg_database UNION ALL SELECT 0, NULL, true) d
LEFT JOIN pg_shdepend s ON s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%s)
GROUP BY 1, 2 ORDER BY 1
"""
SHARED = "(shared)"
# So many kinds of what was taken back are told for each database.
TOLD = 20


def clean_databases(
    server: Server, roles: Sequence[str], oids: Sequence[int], budget: Budget
) -> dict[str, Json]:
    """Give away what the roles own and take back what they were granted; return each database's answer.

    What the roles gave to others is taken back before, and told as `onward_revoked`. Raises ConnectorError that names the databases
    in which it could not be done, after all others are done.
    """
    answers: dict[str, Json] = {}
    failed: list[ConnectorError] = []
    for database, connectable, owned, granted in server.rows(_DEPENDENCIES, (list(oids),)):
        name = database or SHARED
        answers[name] = {"owned": owned, "granted": granted}
        if not owned and not granted:
            continue
        try:
            if taken := _clean(server, database, connectable, roles, oids, owned, budget):
                answers[name] = {"owned": owned, "granted": granted, "onward_revoked": taken}
        except ConnectorError as error:
            failed.append(error)
    if failed:
        raise ConnectorError(
            " ".join(str(error) for error in failed), permanent=all(one.permanent for one in failed)
        )
    return answers


def _clean(
    server: Server,
    database: str,
    connectable: bool,
    roles: Sequence[str],
    oids: Sequence[int],
    owned: int,
    budget: Budget,
) -> list[Json]:
    where = database or parameters_of(server.place).database
    if not connectable:
        raise ConnectorError(
            f"{server.place.target.name}: database {where} does not accept connections, and access of the grant is left in it. Let an "
            f"administrator run: {_allow(where)}",
            permanent=True,
        )
    if owned:
        _ensure_keeper(server)
    with connected(server.place, budget, database=where) as there:
        return repeated(budget, lambda: _clean_there(there, roles, oids, owned, budget))


def _clean_there(
    there: Server, roles: Sequence[str], oids: Sequence[int], owned: int, budget: Budget
) -> list[Json]:
    # Anybody may make large objects by the hundred thousand; one statement gives them all away.
    limit = sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(f"{budget.left * 1000:.0f}ms"))
    # Kept whether or not the rest can be given away: once somebody else has it, nothing tells that a holder had handed it on.
    with there.transaction():
        there.run(limit)
        taken = revoke_onward(there, oids)
    with there.transaction():
        there.run(limit)
        _give_away(there, roles, owned)
        there.run(sql.SQL("DROP OWNED BY {}").format(_list(roles)))
    return list(taken[:TOLD])


def _allow(database: str) -> str:
    return sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true;").format(sql.Identifier(database)).as_string()


def _list(roles: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, roles))


def _give_away(there: Server, roles: Sequence[str], owned: int) -> None:
    if not owned:
        return
    keeper = parameters_of(there.place).reassign_to
    statement = sql.SQL("REASSIGN OWNED BY {} TO {}").format(_list(roles), sql.Identifier(keeper))
    try:
        there.run(statement)
    except ConnectorError as error:
        if not error.permanent:
            raise
        raise ConnectorError(
            f"{error} An administrator must run in database {there.connection.info.dbname}: {statement.as_string()};",
            permanent=True,
        ) from None


def _ensure_keeper(server: Server) -> None:
    """The role that owns what holders made: it can do nothing, and the broker's role has to have its privileges."""
    keeper = parameters_of(server.place).reassign_to
    if not server.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", (keeper,)):
        _create(server, keeper)
    word = "SET" if server.version >= 16 else "MEMBER"
    can = "SELECT pg_has_role(current_user, oid, 'USAGE') AND pg_has_role(current_user, oid, %s) FROM pg_roles WHERE rolname = %s"
    if not server.value(can, (word, keeper)):
        how = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if server.version >= 16 else "")
        server.run(sql.SQL("GRANT {} TO CURRENT_USER{}").format(sql.Identifier(keeper), how))


def _create(server: Server, keeper: str) -> None:
    try:
        server.connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(keeper)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # another revoke made it meanwhile
    except psycopg.Error as error:
        raise ConnectorError(
            f"{server.place.target.name}: the role {keeper} can't be created: {error.diag.message_primary}."
        ) from None
