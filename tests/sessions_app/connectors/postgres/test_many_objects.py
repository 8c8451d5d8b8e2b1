"""A holder who creates more objects than the server can lock at once keeps nothing by it."""

import psycopg
import pytest

from broker.embedded.state import temporary_state_dir
from sessions_app.connectors.base import ConnectorError
from tests.support.servers.postgres_server import PostgresServer, majors
from tests.support.servers.postgres_shop import set_up

pytestmark = pytest.mark.processes

# The lock table of such a server has room for some two thousand objects.
NARROW = {"max_connections": "20", "max_prepared_transactions": "0", "max_locks_per_transaction": "10"}
MANY = 6000


@pytest.fixture(scope="module")
def narrow(processes):
    with (
        temporary_state_dir("stint-pg-") as state,
        PostgresServer(state, majors()[-1], settings=NARROW) as server,
    ):
        shop = set_up(server)
        shop.admin("CREATE ROLE maker; CREATE ROLE passer; GRANT maker TO stint_broker WITH ADMIN OPTION")
        shop.admin("GRANT USAGE ON SCHEMA app TO maker; GRANT SELECT ON app.orders TO maker")
        yield shop


@pytest.fixture
def room(narrow):
    narrow.admin(
        "CREATE SCHEMA room; GRANT USAGE ON SCHEMA room TO PUBLIC; GRANT CREATE ON SCHEMA room TO maker"
    )
    yield narrow
    for kind, names in (
        ("ROUTINE", "p.oid::regprocedure FROM pg_proc p WHERE pronamespace"),
        ("VIEW", "c.oid::regclass FROM pg_class c WHERE relkind = 'v' AND relnamespace"),
    ):
        narrow.admin(
            f"DO $$ DECLARE x text; BEGIN FOR x IN SELECT {names} = 'room'::regnamespace LOOP"
            f" EXECUTE 'DROP {kind} ' || x || ' CASCADE'; COMMIT; END LOOP; END $$"
        )
    narrow.admin("DROP SCHEMA room CASCADE")


def made(room, create: str):
    """A grant whose holder gave a copy to everyone, and created many of something."""
    given = room.give("ROLE maker")
    with given.login() as session:
        session.execute("CREATE TABLE room.copy AS SELECT * FROM app.orders")
        session.execute("GRANT SELECT ON room.copy TO PUBLIC")
        session.execute(
            f"DO $$ BEGIN FOR i IN 1..{MANY} LOOP EXECUTE format('{create}', i); COMMIT; END LOOP; END $$"
        )
    return given


def everyone_reads_the_copy(room) -> bool:
    return room.admin("SELECT has_table_privilege('passer', 'room.copy', 'SELECT')") == [(True,)]


def test_more_code_than_the_server_can_lock_at_once_is_gone_with_the_grant(room):
    given = made(room, "CREATE FUNCTION room.f%s() RETURNS int LANGUAGE sql AS ''SELECT 1''")
    assert everyone_reads_the_copy(room)
    assert given.revoke().gone
    assert room.admin("SELECT count(*) FROM pg_proc WHERE pronamespace = 'room'::regnamespace") == [(0,)]
    assert not everyone_reads_the_copy(room)


def test_more_views_than_the_server_can_lock_at_once_change_their_owner_in_parts(room):
    room.admin("GRANT CREATE ON SCHEMA room TO stint_kept")
    given = made(room, "CREATE VIEW room.v%s AS SELECT 1 AS x")
    assert given.revoke().gone
    assert room.admin(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'room'::regnamespace"
    ) == [("stint_kept",)]
    assert not everyone_reads_the_copy(room)


def test_an_end_leaves_the_lock_table_alone_where_the_owner_can_not_change_in_parts(room):
    given = made(room, "CREATE VIEW room.v%s AS SELECT 1 AS x")
    with pytest.raises(ConnectorError) as caught:
        given.revoke()
    assert caught.value.permanent
    assert not everyone_reads_the_copy(room)
    with pytest.raises(psycopg.OperationalError):
        given.login()
    told = 'GRANT CREATE ON SCHEMA room TO "stint_kept";'
    assert told in caught.value.message
    room.admin(told)
    assert given.revoke().gone
