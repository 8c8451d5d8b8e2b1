"""The objects and privileges of a grant's roles, in every database of a server.

pg_shdepend is shared by all databases and lists each object that depends on a role; DROP ROLE itself relies
on it. So one query finds the databases that contain such objects, and only these are visited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from sessions_app.connectors.base import ConnectorError, Json
from sessions_app.connectors.postgres.connection import Budget, CollisionError, Server, connected
from sessions_app.connectors.postgres.onward import revoke_onward, spelled
from sessions_app.connectors.postgres.parameters import parameters_of

# Databases and other shared objects have number 0, and can be handled in any database.
_DEPENDENCIES: LiteralString = """
SELECT coalesce(d.datname::text, ''), coalesce(d.datallowconn, true),
       count(s.refobjid) FILTER (WHERE s.deptype = 'o'), count(s.refobjid) FILTER (WHERE s.deptype <> 'o')
FROM (SELECT oid, datname, datallowconn FROM pg_database UNION ALL SELECT 0, NULL, true) d
LEFT JOIN pg_shdepend s ON s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%s)
GROUP BY 1, 2 ORDER BY 1
"""
# The sequence of a column gets a new owner when its table does, so it is not listed here.
_RELATIONS: LiteralString = """
SELECT i.identity, quote_ident(n.nspname), has_schema_privilege(%(keeper)s, n.oid, 'CREATE')
FROM pg_shdepend s JOIN pg_class c ON c.oid = s.objid JOIN pg_namespace n ON n.oid = c.relnamespace,
     pg_identify_object('pg_class'::regclass, c.oid, 0) i
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (%(oids)s) AND s.deptype = 'o'
AND s.classid = 'pg_class'::regclass
AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
AND NOT (c.relkind = 'S' AND EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))) ORDER BY 1
"""
SHARED = "(shared)"
# REASSIGN OWNED locks each table, view, sequence and index until it ends. More objects than this could fill
# the server's lock table, which would make other sessions fail too, so their owner is changed in batches.
AT_ONCE, PART = 1000, 100
# The maximum number of kinds of revoked privileges that are reported for each database.
TOLD = 20


def clean_databases(
    server: Server, roles: Sequence[str], oids: Sequence[int], budget: Budget
) -> dict[str, Json]:
    """Reassign the roles' objects and revoke the roles' privileges.

    Return the result for each database.

    Privileges that the roles granted to others are revoked first, and reported as `onward_revoked`. Raises a
    ConnectorError that names the databases where this failed, after all others are done. Raises
    CollisionError if another revocation may be the reason.
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
        # After a collision, the caller checks again, because another process that revokes the grant may have
        # dropped its roles.
        collided = any(isinstance(error, CollisionError) for error in failed)
        raise (CollisionError if collided else ConnectorError)(
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
            f"{server.place.target.name}: database {where} does not accept connections, and access from "
            f"the grant remains in it. An administrator must run: {_allow(where)}",
            permanent=True,
        )
    if owned:
        _ensure_keeper(server)
    with connected(server.place, budget, database=where) as there:
        return _clean_there(there, roles, oids, owned, budget)


def _clean_there(
    there: Server, roles: Sequence[str], oids: Sequence[int], owned: int, budget: Budget
) -> list[Json]:
    # Anyone can create hundreds of thousands of large objects. One statement reassigns them all.
    there.run(sql.SQL("SET statement_timeout = {}").format(sql.Literal(f"{budget.left * 1000:.0f}ms")))
    # Done even if the rest can't be reassigned: once another role owns an object, nothing shows that a
    # holder transferred it.
    taken = revoke_onward(there, oids)
    if owned:
        _give_in_parts(there, oids)
    with there.transaction():
        _give_away(there, roles, owned)
        there.run(sql.SQL("DROP OWNED BY {}").format(_list(roles)))
    return list(taken[:TOLD])


def _allow(database: str) -> str:
    return sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true;").format(sql.Identifier(database)).as_string()


def _list(roles: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, roles))


def _give_in_parts(there: Server, oids: Sequence[int]) -> None:
    """Give tables, views and sequences to the keeper in batches if there are very many.

    Each batch is a transaction.
    """
    keeper = parameters_of(there.place).reassign_to
    found = there.rows_by_names(_RELATIONS, {"oids": list(oids), "keeper": keeper})
    if len(found) <= AT_ONCE:
        return
    name = sql.Identifier(keeper).as_string()
    # REASSIGN OWNED does not require this privilege, but ALTER does.
    if closed := sorted({schema for _, schema, open_ in found if not open_}):
        fixes = " ".join(f"GRANT CREATE ON SCHEMA {schema} TO {name};" for schema in closed)
        raise ConnectorError(
            f"{there.place.target.name}: the grant's role owns {len(found)} tables, views and sequences, "
            "too many to change their owner in one statement. An administrator must run in database "
            f"{there.connection.info.dbname}: {fixes}",
            permanent=True,
        )
    changes = [f"ALTER TABLE {identity} OWNER TO {name}" for identity, *_ in found]
    for start in range(0, len(changes), PART):
        there.run(spelled("; ".join(changes[start : start + PART])))


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
            f"{error} An administrator must run in database {there.connection.info.dbname}:"
            f" {statement.as_string()};",
            permanent=True,
        ) from None


def _ensure_keeper(server: Server) -> None:
    """Ensure that the role that takes over holders' objects exists.

    The keeper has no privileges, and the broker's role must be a member of it.
    """
    keeper = parameters_of(server.place).reassign_to
    if not server.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", (keeper,)):
        _create(server, keeper)
    word = "SET" if server.version >= 16 else "MEMBER"
    can = (
        "SELECT pg_has_role(current_user, oid, 'USAGE') AND pg_has_role(current_user, oid, %s) FROM pg_roles"
        " WHERE rolname = %s"
    )
    if not server.value(can, (word, keeper)):
        how = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if server.version >= 16 else "")
        server.run(sql.SQL("GRANT {} TO CURRENT_USER{}").format(sql.Identifier(keeper), how))


def _create(server: Server, keeper: str) -> None:
    try:
        server.connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(keeper)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # another revoke created it in the meantime
    except psycopg.Error as error:
        raise ConnectorError(
            f"{server.place.target.name}: the role {keeper} can't be created: {error.diag.message_primary}."
        ) from None
