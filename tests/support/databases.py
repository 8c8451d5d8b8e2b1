"""Databases of the tests: copies of the migrated template.

A used copy is emptied and used again, because a copy has a thousand files: most of the tests' time went into
ext4's search for inodes that were not just deleted.
"""

import contextlib
import gc
import itertools
import os
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql

from tests.environment import POSTGRES
from tests.support.leftovers import end_all, started_with

# Seconds for which a backend may take to end.
PATIENCE = 40
_numbers = itertools.count(1)
_unused: list[str] = []

# Everything that defines a database, except for its rows. If a test changed any of it, the database is not
# reused.
_SCHEMA = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s', relname, relkind, relowner, relacl)
      FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull,
                            attisdropped, attacl)
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s', proname, md5(prosrc), proowner, proacl)
      FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s', tgname, tgrelid::regclass, tgenabled, tgfoid::regproc)
      FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
    UNION ALL SELECT extname FROM pg_extension
    UNION ALL SELECT format('%s %s %s', datacl, datallowconn, datconnlimit) FROM pg_database
      WHERE datname = current_database()
    UNION ALL SELECT format('%s %s', setrole, setconfig)
      FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
      WHERE datname = current_database()
) lines (line)
"""
# A table keeps its file when its rows are deleted. So this finds each that ever had a row, and some that have
# none now.
_FILLED = """
SELECT relname FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0 ORDER BY relname
"""
_ROWS = "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {} t"
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""
_COUNTED = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public'"


class _Template:
    """The state of a copy before anything is written to it."""

    def __init__(self) -> None:
        with _connect("stint") as template:
            self.schema = _one(template, _SCHEMA)
            self.rows = {table: _hash(template, table) for table in _filled(template)}
            self.kept = {table: _copy_out(template, table) for table in self.rows}
            self.counted = dict.fromkeys(template.execute(_COUNTED).fetchall())


_template = cache(_Template)


def owner(statement: str) -> None:
    """Run a statement about databases as the schema owner."""
    with _connect("postgres") as connection:
        connection.execute(statement)


def use(name: str) -> None:
    """Connect Django to a database."""
    connections.close_all()
    for handle in connections.all():
        handle.settings_dict["NAME"] = name
    settings.DATABASES["default"]["NAME"] = name


def copy_of_template() -> str:
    """Create a database in the state after `migrate`, and return its name."""
    name = f"stint_{os.getpid()}_{next(_numbers)}"
    # Copying files takes a third of the time of copying by the write-ahead log: the template is small, and
    # has no writers.
    owner(f"CREATE DATABASE {name} TEMPLATE stint STRATEGY FILE_COPY")
    return name


def appending_at_once(name: str) -> str:
    """Let entries be appended to the record as they are made, not at commit, for tests that never commit.

    Returns the name.
    """
    trigger = "audit_pending_append"
    with _connect(name) as connection:
        made = _one(connection, f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{trigger}'")
        connection.execute(f"DROP TRIGGER {trigger} ON audit_pending")
        connection.execute(str(made).replace("INITIALLY DEFERRED", "INITIALLY IMMEDIATE"))
    return name


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Yield the name of a database in the state after `migrate`, in which commits are real.

    Django uses it meanwhile, and the previous one afterwards. Processes started with it in their environment
    are ended.
    """
    before = settings.DATABASES["default"]["NAME"]
    name = _unused.pop() if _unused else copy_of_template()
    use(name)
    try:
        yield name
    finally:
        use(before)
        end_all(started_with("DATABASE_URL", POSTGRES.url("stint_app", name)))
        if _empty(name):
            _unused.append(name)
        else:
            drop_database(name)


def drop_database(name: str) -> None:
    """Drop a database, waiting for backends that are about to end.

    Alternates between FORCE, which ends the owner's backends, and no FORCE, which ends an autovacuum (a
    superuser's).
    """
    until = time.monotonic() + PATIENCE
    for force in itertools.cycle((" WITH (FORCE)", "")):
        try:
            return owner(f"DROP DATABASE {name}{force}")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            if time.monotonic() > until:
                break
            # The connection of an ended thread may be kept by a reference cycle until it is collected.
            gc.collect()
            if time.monotonic() > until - PATIENCE / 2:
                _end_idle(name)
            time.sleep(0.1)
    raise RuntimeError(
        f"{name} is still in use, perhaps by a process that a test left behind: {_who_is_in(name)}"
    )


@contextlib.contextmanager
def no_new_connections(connected: psycopg.Connection[Any]) -> Iterator[None]:
    """Allow no connections to the database of a connection until the block ends."""
    name = connected.info.dbname
    owner(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        yield
    finally:
        owner(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def _empty(name: str) -> bool:
    """Restore a database to the state of a new copy.

    Return False if it is still in use, or its schema was changed.
    """
    try:
        with _alone(name) as used, used.transaction():
            return _one(used, _SCHEMA) == _template().schema and _put_back(used)
    except psycopg.Error:
        return False


@contextlib.contextmanager
def _alone(name: str) -> Iterator[psycopg.Connection]:
    """Yield the only connection to a database, once its last backend has ended."""
    with _connect(name) as connection:
        connection.execute("SET lock_timeout = '1s'")
        for _ in range(20):
            if not _one(connection, _OTHERS):
                break
            time.sleep(0.02)
        else:
            raise psycopg.errors.ObjectInUse(f"{name} is still in use")
        yield connection


def _put_back(used: psycopg.Connection) -> bool:
    changed = [table for table in _filled(used) if _hash(used, table) != _template().rows.get(table)]
    # The tables of the record refuse TRUNCATE by their triggers.
    for table in changed:
        used.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
        used.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    for table in changed:
        _copy_in(used, table, _template().kept.get(table, b""))
    used.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in changed:
        used.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table)))
    for name, start, _ in set(used.execute(_COUNTED).fetchall()) - _template().counted.keys():
        last = next(last for each, _, last in _template().counted if each == name)
        used.execute("SELECT setval(%s::regclass, %s, %s)", [name, last or start, last is not None])
    return True


def _copy_out(connection: psycopg.Connection, table: str) -> bytes:
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(copy)


def _copy_in(connection: psycopg.Connection, table: str, rows: bytes) -> None:
    if not rows:
        return
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(rows)


def _filled(connection: psycopg.Connection) -> list[str]:
    return [table for (table,) in connection.execute(_FILLED)]


def _hash(connection: psycopg.Connection, table: str) -> str | int | None:
    return _one(connection, sql.SQL(_ROWS).format(sql.Identifier(table)))


def _one(connection: psycopg.Connection, statement: str | sql.Composed) -> str | int | None:
    row = connection.execute(statement).fetchone()
    return row[0] if row else None


def _connect(name: str) -> psycopg.Connection:
    return psycopg.connect(POSTGRES.url("stint_owner", name), autocommit=True)


def _end_idle(name: str) -> None:
    """End the application's idle backends.

    A running process connects again; a process that has ended does not.
    """
    with psycopg.connect(POSTGRES.url("stint_app", "postgres"), autocommit=True) as app:
        app.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename ="
            " current_user AND state = 'idle'",
            [name],
        )


def _who_is_in(name: str) -> list[tuple[object, ...]]:
    # As the application's role, which may see its own backends.
    with psycopg.connect(POSTGRES.url("stint_app", "postgres"), autocommit=True) as app:
        return app.execute(
            "SELECT pid, usename, backend_type, state, application_name, query FROM pg_stat_activity WHERE"
            " datname = %s",
            [name],
        ).fetchall()
