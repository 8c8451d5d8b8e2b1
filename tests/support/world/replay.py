"""The world again, from its rows and its record: many times faster than making it by operations."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction

from tests.support.world.world import CATALOG, World, make_world

# In the order of their foreign keys.
_TABLES = (
    "auth_group",
    "accounts_identity",
    "accounts_identity_groups",
    "sessions_app_cluster",
    "sessions_app_target",
    "sessions_app_commandset",
    "sessions_app_commandsetversion",
    "sessions_app_accesspolicy",
    "sessions_app_accesspolicy_clusters",
    "sessions_app_accesspolicy_command_sets",
    "sessions_app_clusteruserobjectpermission",
    "sessions_app_clustergroupobjectpermission",
    "sessions_app_accesspolicyuserobjectpermission",
    "sessions_app_accesspolicygroupobjectpermission",
    "sessions_app_documentversion",
)
_PEOPLE = ("alice", "bob", "dora", "charlie", "admin", "robot", "deployer")
# Placeholder for the time at which the world is made, in rows that are kept.
_NOW = '"the time at which it is made"'
_ENTRIES = """
    SELECT json_agg(json_build_object(
        'event', event, 'actor', actor, 'actor_id', actor_id, 'object_type', object_type,
        'object_ref', object_ref, 'data', body::jsonb -> 'data') ORDER BY seq)::text
    FROM audit_entry WHERE log = 'main'
"""
# By the product's own function, so that the record is complete.
_RECORD = """
    SELECT count(audit_append_many('main', %s, e.event, e.actor, e.actor_id, e.object_type,
        ARRAY[e.object_ref], ARRAY[e.data]))
    FROM json_to_recordset(%s) AS e (
        event text, actor text, actor_id bigint, object_type text, object_ref text, data jsonb)
"""
# The columns of a table that the database does not fill itself.
_WRITTEN = """
    SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
# The next row comes after the existing ones.
_PASS = (
    "SELECT count(nextval(pg_get_serial_sequence('{0}', 'id'))) FROM generate_series(1, (SELECT max(id) FROM"
    " {0}))"
)


@dataclass(frozen=True)
class _Kept:
    """A world that was made, and all of its rows in the database."""

    world: World
    rows: dict[str, str]
    entries: str


_kept: dict[bool, _Kept] = {}


def world_again(now: dt.datetime, *, fresh: bool = False) -> World:
    """Make the world at ``now``: by its operations the first time, from its rows after that.

    Ids are those of the first time. The database that tests share has used them already; a ``fresh`` one, in
    which nothing was made before, is advanced past them.
    """
    from accounts.models import Identity
    from sessions_app.models import Sweeper

    if fresh not in _kept:
        world = make_world(now)
        _kept[fresh] = _keep(world, now)
        return world
    kept = _kept[fresh]
    _restore(kept, now)
    if fresh:
        _pass_the_ids()
    Sweeper.objects.create(name="test", seen_at=now)
    people = {one.username: one for one in Identity.objects.filter(username__in=_PEOPLE)}
    return replace(kept.world, **people, now=now, catalog=dict(CATALOG))


def _keep(world: World, now: dt.datetime) -> _Kept:
    with connection.cursor() as cursor:
        stamp, rows = _stamp(cursor, now), {}
        for table in _TABLES:
            cursor.execute(f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} t")
            rows[table] = cursor.fetchone()[0].replace(stamp, _NOW)
        cursor.execute(_ENTRIES)
        return _Kept(world, rows, cursor.fetchone()[0])


def _restore(kept: _Kept, now: dt.datetime) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        stamp = _stamp(cursor, now)
        for table, rows in kept.rows.items():
            cursor.execute(_WRITTEN, [table])
            (columns,) = cursor.fetchone()
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM"
                f" json_populate_recordset(NULL::{table}, %s)",
                [rows.replace(_NOW, stamp)],
            )
        cursor.execute(_RECORD, [now, kept.entries])


def _stamp(cursor: Any, now: dt.datetime) -> str:
    """Return a time in the form that the database writes in JSON."""
    cursor.execute("SELECT to_json(%s::timestamptz)::text", [now])
    return cursor.fetchone()[0]


def _pass_the_ids() -> None:
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(_PASS.format(table))
