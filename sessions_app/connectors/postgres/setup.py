"""The one-time setup that a server's administrator runs: the broker's role with minimal rights, and an
optional login trigger.

Sources: PostgreSQL's CREATE ROLE, GRANT and section 22.5 (Role memberships), and 39 (Event Triggers,
`login`).
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from sessions_app.connectors.postgres.names import PATTERN
from sessions_app.connectors.postgres.parameters import KEEPER

_BROKER = """\
-- Run this as a superuser in psql, once on the server; running it again is safe.
DO $stint$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {broker_text}) THEN
    CREATE ROLE {broker} LOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {keeper_text}) THEN
    CREATE ROLE {keeper} NOLOGIN;
  END IF;
END
$stint$;
ALTER ROLE {broker} LOGIN NOSUPERUSER CREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
-- Lets it end the sessions of grants.
GRANT pg_signal_backend TO {broker};
-- Lets it make the server log what holders run.
GRANT SET ON PARAMETER log_statement TO {broker};
-- Objects that holders created go to a role that can do nothing. If holders can create functions or types,
-- that role also needs CREATE on the schema.
GRANT {keeper} TO {broker} WITH ADMIN OPTION;
-- PostgreSQL 16 and newer: with reserved_connections, Stint can still connect to end grants when all other
-- connections are taken.
DO $stint$
BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE {reserved};
  END IF;
END
$stint$;
"""
_TEMPLATE = """\
-- Template roles: Stint grants them, and has none of their privileges itself.
DO $stint$
BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE {modern};
  ELSE
    EXECUTE {old};
  END IF;
END
$stint$;
"""
_STATEMENTS = """\
-- Lets it read the running statements of all roles.
GRANT pg_read_all_stats TO {broker};
"""
_LAST = """\
-- Finally, set its password in psql: \\password {broker}
-- To grant single privileges, it needs each of them WITH GRANT OPTION, for example:
-- GRANT USAGE ON SCHEMA app TO {broker} WITH GRANT OPTION;
-- GRANT SELECT ON app.orders TO {broker} WITH GRANT OPTION;
"""
_TRIGGER = """\
-- PostgreSQL 17 and newer: refuse logins of ended grants, also where no password is required (cert, peer,
-- trust). Run this as a superuser in each database; running it again is safe. If it ever locks someone out, a
-- superuser can log in with PGOPTIONS='-c event_triggers=off'.
CREATE SCHEMA IF NOT EXISTS stint;
REVOKE ALL ON SCHEMA stint FROM PUBLIC;
CREATE OR REPLACE FUNCTION stint.refuse_ended_grants() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $stint$
BEGIN
  IF session_user !~ {pattern} THEN
    RETURN;
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_roles
    WHERE rolname = session_user AND rolcanlogin AND rolvaliduntil > clock_timestamp()
  ) THEN
    RAISE EXCEPTION 'the grant of % has ended', session_user USING ERRCODE = '28000';
  END IF;
END
$stint$;
REVOKE ALL ON FUNCTION stint.refuse_ended_grants() FROM PUBLIC;
DROP EVENT TRIGGER IF EXISTS stint_refuse_ended_grants;
CREATE EVENT TRIGGER stint_refuse_ended_grants ON login EXECUTE FUNCTION stint.refuse_ended_grants();
ALTER EVENT TRIGGER stint_refuse_ended_grants ENABLE ALWAYS;
"""


def target_setup(
    *, broker: str, templates: Sequence[str] = (), keeper: str = KEEPER, read_statements: bool = False
) -> str:
    """Return the SQL that creates the broker's role and lets it grant the template roles, which must exist.

    Raises ValueError for an unsafe role name.
    """
    for name in (broker, keeper, *templates):
        if "$" in name or not name.isprintable():
            raise ValueError(f"{name!r} is not a valid role name: use letters, digits and underscores.")
    parts = [_filled(_BROKER, broker=broker, keeper=keeper)]
    if templates:
        roles = sql.SQL(", ").join(map(sql.Identifier, templates))
        plain = sql.SQL("GRANT {} TO {} WITH ADMIN ").format(roles, sql.Identifier(broker)).as_string()
        modern, old = f"{plain}TRUE, INHERIT FALSE, SET FALSE", f"{plain}OPTION"
        parts.append(_TEMPLATE.format(modern=_literal(modern), old=_literal(old)))
    if read_statements:
        parts.append(_filled(_STATEMENTS, broker=broker, keeper=keeper))
    parts.append(_filled(_LAST, broker=broker, keeper=keeper))
    return "".join(parts)


def login_trigger() -> str:
    """Return the SQL of an event trigger that refuses logins of grant roles after their end.

    The check writes nothing.
    """
    return _TRIGGER.format(pattern=_literal(PATTERN))


def _filled(text: str, *, broker: str, keeper: str) -> str:
    reserved = sql.SQL("GRANT pg_use_reserved_connections TO {}").format(sql.Identifier(broker)).as_string()
    return text.format(
        reserved=_literal(reserved),
        broker=sql.Identifier(broker).as_string(),
        broker_text=_literal(broker),
        keeper=sql.Identifier(keeper).as_string(),
        keeper_text=_literal(keeper),
    )


def _literal(text: str) -> str:
    return sql.Literal(text).as_string()
