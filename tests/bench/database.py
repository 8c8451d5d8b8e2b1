"""Large tables in a copy of the migrated database, filled in SQL."""

import contextlib
import itertools
from collections.abc import Iterator

import psycopg

from tests.environment import POSTGRES
from tests.support.databases import drop_database, use
from tests.support.world.world import World, make_world

_numbers = itertools.count(1)


@contextlib.contextmanager
def empty_database() -> Iterator[str]:
    """Yield a new empty database, which Django uses until the block ends."""
    from broker.kernel import clock

    name = f"bench_{next(_numbers)}"
    owner("postgres", f"CREATE DATABASE {name} TEMPLATE stint")
    use(name)
    clock.sync()
    try:
        yield name
    finally:
        use("stint")
        drop_database(name)


@contextlib.contextmanager
def database() -> Iterator[tuple[str, World]]:
    """Yield a new database with people and a catalog, which Django uses until the block ends."""
    from broker.kernel import clock

    with empty_database() as name:
        yield name, make_world(clock.now())


def owner(name: str, *statements: str) -> None:
    """Run statements as the schema owner."""
    with psycopg.connect(POSTGRES.url("stint_owner", name), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def fill_grants(name: str, count: int, *, state: str, expires: str, first: int) -> None:
    """Add grants of alice in one state; ``expires`` is an SQL expression over the row number i."""
    ended = state == "ended"
    owner(
        name,
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        "ALTER TABLE sessions_app_grant_targets DISABLE TRIGGER USER",
        f"""
        INSERT INTO sessions_app_accessrequest (number, kind, requester_id, cluster_id, policy_id,
            policy_version, command_set_version_id, parameters, targets, duration, reason, ticket, digest,
            state, version, created_at, lapses_at)
        SELECT {first} + i, 'planned', h.id, c.id, p.id, 1, v.id, '{{"unit": "nginx"}}', '[]', 3600, '', '',
            'x', 'approved', 1, now(), now()
        FROM generate_series(1, {count}) AS i, sessions_app_cluster c, sessions_app_accesspolicy p,
            (SELECT max(id) AS id FROM sessions_app_commandsetversion) v,
            (SELECT id, row_number() OVER () AS n FROM accounts_identity) h
        WHERE h.n = i % (SELECT count(*) FROM accounts_identity) + 1
        """,
        f"""
        INSERT INTO sessions_app_grant (ref, request_id, holder_id, cluster_id, policy_id,
            command_set_version_id, parameters, commands, mark, break_glass, starts_at, expires_at,
            finish_seconds, state, version, created_at, ended_at, end_reason, end_note, attempts, last_error,
            review_note)
        SELECT 'B-' || r.number, r.id, r.requester_id, r.cluster_id, r.policy_id, r.command_set_version_id,
            r.parameters, '[0, 1, 2, 3, 4]', 'mark-' || r.number, false, now() - interval '1 day', {expires},
            0, '{state}', 1, now(), {"now()" if ended else "NULL"}, '{"expired" if ended else ""}', '', 0, '',
            ''
        FROM (SELECT *, number - {first} AS i FROM sessions_app_accessrequest WHERE number > {first}) r
        """,
        f"""
        INSERT INTO sessions_app_grant_targets (grant_id, target_id)
        SELECT g.id, t.id FROM sessions_app_grant g JOIN sessions_app_accessrequest r ON r.id = g.request_id
        CROSS JOIN sessions_app_target t WHERE r.number > {first} AND {not ended}
        """,
        "ALTER TABLE sessions_app_grant ENABLE TRIGGER USER",
        "ALTER TABLE sessions_app_grant_targets ENABLE TRIGGER USER",
        "VACUUM ANALYZE sessions_app_grant",
        "VACUUM ANALYZE sessions_app_grant_targets",
        "ANALYZE sessions_app_accessrequest",
    )


def fill_people(name: str, count: int) -> None:
    """Add people, so that grants are spread over many holders."""
    owner(
        name,
        f"""
        INSERT INTO accounts_identity (password, is_superuser, username, name, email, kind, is_active,
            time_zone, created_at)
        SELECT '!', false, 'p' || i, 'P' || i, 'p' || i || '@example.com', 'person', true, 'UTC', now()
        FROM generate_series(1, {count}) i
        """,
        "ANALYZE accounts_identity",
    )
