"""An end is an end, whatever the holder did meanwhile and whoever touched the role."""

import contextlib
import os
import secrets
import signal
import threading
import time
from functools import partial

import psycopg
import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec
from sessions_app.connectors.postgres import connection
from sessions_app.connectors.postgres.names import role_names
from tests.support.pace import allow
from tests.support.servers.postgres_server import each_version
from tests.support.waits import eventually
from tests.support.world.acts import Started, at_once

pytestmark = [each_version, pytest.mark.timing]

WRITE = ("SELECT, INSERT, UPDATE (status) ON app.orders", "ROLE reporting_reader")


@pytest.fixture(autouse=True)
def room(shop):
    """A schema in two databases in which anybody may make things, as on servers that were not closed."""
    for database in ("shop", "other"):
        shop.admin("CREATE SCHEMA IF NOT EXISTS room; GRANT ALL ON SCHEMA room TO PUBLIC", database=database)
    yield
    for database in ("shop", "other"):
        shop.admin("DROP SCHEMA room CASCADE", database=database)


def dead(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_a_holder_has_what_was_granted_and_nothing_else_and_then_nothing(shop):
    given = shop.give(*WRITE)
    with given.login() as session:
        assert session.execute("UPDATE app.orders SET status = 'done' WHERE id = 1").rowcount == 1
        assert session.execute("SELECT count(*) FROM stats.reports").fetchone() == (0,)
        for refused in (
            "DELETE FROM app.orders",
            "UPDATE app.orders SET note = ''",
            "SELECT * FROM app.invoices",
            "CREATE TABLE app.mine ()",
            "COPY app.orders TO PROGRAM 'cat'",
            "CREATE ROLE friend",
            "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
            "ALTER ROLE CURRENT_USER CONNECTION LIMIT 99",
            f"GRANT {given.role} TO reporting_reader",
            "GRANT SELECT ON app.invoices TO PUBLIC",
            "SET ROLE stint_broker",
            "ALTER ROLE CURRENT_USER CREATEROLE",
            "COMMENT ON ROLE CURRENT_USER IS 'x'",
            "CREATE DATABASE mine",
        ):
            with pytest.raises(psycopg.Error):
                session.execute(refused)
        # PostgreSQL only warns of a privilege that is held without GRANT OPTION.
        session.execute("GRANT SELECT ON app.orders TO PUBLIC")
        assert shop.one("SELECT has_table_privilege('public', 'app.orders', 'SELECT')") is False
        evidence = given.revoke()
        assert dead(session)
    assert evidence.gone
    assert evidence.detail["backends_ended"] == 1
    assert evidence.detail["roles"] == evidence.detail["backends"] == evidence.detail["owned_or_granted"] == 0
    assert set(evidence.detail["databases"]) >= {"shop", "other", "postgres"}
    with pytest.raises(psycopg.OperationalError):
        given.login()


def test_no_template_role_lends_its_name_where_postgresql_can_keep_it(shop):
    given = shop.give(*WRITE)
    with given.login() as session:
        if shop.major < 16:
            session.execute("SET ROLE reporting_reader")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("SET ROLE reporting_reader")
        assert given.revoke().gone
        assert dead(session)


def test_a_session_ends_before_an_end_reads_anything_about_its_role(shop):
    given = shop.give(*WRITE)
    with given.login() as session, shop.server.admin() as admin:
        with admin.transaction():
            # The comments on roles.
            admin.execute("LOCK TABLE pg_shdescription IN ACCESS EXCLUSIVE MODE")
            revoking = Started(given.revoke)
            eventually(lambda: dead(session))
        evidence = revoking.result()
    assert evidence.gone
    assert evidence.detail["backends_ended"] == 1


def test_what_a_holder_made_in_several_databases_goes_to_a_role_that_can_do_nothing(shop):
    given = shop.give()
    for database in ("shop", "other"):
        with given.login(database) as session:
            session.execute("CREATE TABLE room.mine (id int); INSERT INTO room.mine VALUES (1)")
            session.execute("CREATE VIEW room.look AS SELECT * FROM room.mine; CREATE SEQUENCE room.count")
            session.execute("SELECT lo_create(0)")
            session.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
            session.execute("GRANT ALL ON room.mine TO PUBLIC")
    evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["databases"]["other"]["owned"] >= 4
    for database in ("shop", "other"):
        asked = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'room.mine'::regclass"
        assert shop.one(asked, database=database) == "stint_kept"
        assert shop.one("SELECT count(*) FROM room.mine", database=database) == 1
    assert (
        shop.one("SELECT rolcanlogin OR rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = 'stint_kept'")
        is False
    )


def test_a_collation_that_the_keeper_may_not_have_fails_the_end_and_says_what_to_run(shop):
    given = shop.give()
    with given.login() as session:
        session.execute("CREATE COLLATION room.trap (provider = libc, locale = 'C')")
        shop.admin("REVOKE ALL ON SCHEMA room FROM PUBLIC")
        with pytest.raises(ConnectorError) as caught:
            given.revoke()
        assert dead(session)
    assert "REASSIGN OWNED BY" in caught.value.message
    assert caught.value.permanent
    assert shop.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", given.role) is False
    shop.admin("GRANT CREATE ON SCHEMA room TO stint_kept")
    assert given.revoke().gone
    assert (
        shop.one("SELECT collowner::regrole::text FROM pg_collation WHERE collname = 'trap'") == "stint_kept"
    )


def test_a_function_that_stint_can_not_reach_fails_the_end_and_says_what_to_run(shop):
    given = shop.give()
    with given.login() as session:
        session.execute("CREATE FUNCTION room.trap() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'")
        shop.admin("REVOKE ALL ON SCHEMA room FROM PUBLIC")
        for told_first in ("REVOKE ALL ON FUNCTION room.trap()", "DROP ROUTINE"):
            with pytest.raises(
                ConnectorError, match="An administrator must run in database shop: "
            ) as caught:
                given.revoke()
            assert dead(session)
            assert caught.value.permanent
            told = caught.value.message
            shop.admin(told[told.index(told_first) :])
    assert given.revoke().gone


def test_prepared_transactions_that_hold_locks_are_rolled_back(shop):
    given = shop.give("INSERT, SELECT ON app.orders")
    for database, table in (("shop", "room.mine"), ("other", "room.mine")):
        with given.login(database) as session:
            session.execute(f"CREATE TABLE {table} (id int)")
            session.execute("BEGIN")
            session.execute(f"LOCK TABLE {table}")
            session.execute(f"""PREPARE TRANSACTION 'it''s "{secrets.token_hex(8)}" {database}'""")
    evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["prepared_rolled_back"] == 2
    assert shop.one("SELECT count(*) FROM pg_prepared_xacts") == 0


def test_sessions_in_every_state_end(shop):
    given = shop.give("SELECT ON app.orders", place=shop.place(connection_limit=20))
    states = (
        "SELECT pg_sleep(60)",
        "LISTEN news",
        "SELECT pg_advisory_lock(7)",
        "CREATE TEMP TABLE t AS SELECT 1 AS x",
        "BEGIN; SELECT * FROM app.orders",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SET statement_timeout = 0",
        "SELECT count(*) FROM generate_series(1, 2000000000)",
    )
    sessions = [given.login() for _ in states]
    for session in sessions:
        session.execute("SET statement_timeout = 0")
    running = [
        Started(partial(session.execute, state)) for session, state in zip(sessions, states, strict=True)
    ]
    time.sleep(0.3)
    began = time.monotonic()
    evidence = given.revoke()
    assert time.monotonic() - began < allow(5)
    for one in running:
        one.result()
    assert evidence.gone
    assert evidence.detail["backends_ended"] >= len(states)
    assert all(dead(session) for session in sessions)


def test_a_holder_who_logs_in_again_and_again_is_out(shop):
    given = shop.give(place=shop.place(connection_limit=50))
    stop, sessions, refusals = threading.Event(), [], []

    def knock() -> None:
        while not stop.is_set():
            try:
                sessions.append(given.login())
            except psycopg.OperationalError as error:
                refusals.append(str(error))

    threads = [threading.Thread(target=knock) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: sessions)
    evidence = given.revoke()
    before = len(refusals)
    eventually(lambda: len(refusals) > before)
    stop.set()
    for thread in threads:
        thread.join()
    assert evidence.gone
    assert all(dead(session) for session in sessions)
    # Who was refused is told so before the server's process is gone.
    left = "SELECT count(*) FROM pg_stat_activity WHERE usename IS NULL AND backend_type = 'client backend'"
    eventually(lambda: shop.one(left) == 0)


def test_a_role_that_an_administrator_dropped_leaves_no_session(shop):
    given = shop.give("ROLE reporting_reader")
    with given.login() as session:
        names = role_names(given.spec.mark)
        shop.admin(f"DROP ROLE {names.login}")
        assert session.execute("SELECT 1").fetchone() == (1,)
        assert not shop.connector.verify(given.lease).gone
        assert given.revoke().gone
        assert dead(session)


def test_a_database_that_takes_no_connections_fails_the_end_visibly_and_the_role_can_do_nothing(shop):
    given = shop.give(*WRITE)
    with given.login("other") as session:
        session.execute("CREATE TABLE room.mine ()")
    with given.login() as session, given.login("other") as elsewhere:
        shop.admin("ALTER DATABASE other ALLOW_CONNECTIONS false")
        try:
            with pytest.raises(ConnectorError) as caught:
                given.revoke()
            assert dead(session)
            assert dead(elsewhere)
        finally:
            shop.admin("ALTER DATABASE other ALLOW_CONNECTIONS true")
    assert 'ALTER DATABASE "other" ALLOW_CONNECTIONS true;' in caught.value.message
    assert not shop.connector.verify(given.lease).gone
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        given.login()
    assert shop.one("SELECT has_table_privilege(%s, 'app.orders', 'SELECT')", given.role) is False
    assert shop.one("SELECT pg_has_role(%s, 'reporting_reader', 'MEMBER')", given.role) is False
    assert given.revoke().gone


def test_a_replication_slot_that_a_session_holds_is_dropped_or_said_to_be_there(shop):
    given = shop.give()
    shop.admin(f"ALTER ROLE {given.role} REPLICATION")
    slot = f"s{secrets.token_hex(4)}"
    shop.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    shop.admin("CREATE PUBLICATION news")
    stream = psycopg.pq.PGconn.connect(
        f"host=127.0.0.1 port={shop.server.port} user={given.role} password={given.password} dbname=shop"
        " replication=database".encode()
    )
    stream.exec_(
        f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'news')".encode()
    )
    assert shop.one("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot) is True
    with pytest.raises(ConnectorError):
        given.revoke()
    assert shop.one("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot) is False
    shop.admin(f"ALTER ROLE {given.role} NOREPLICATION")
    with pytest.raises(ConnectorError) as caught:
        given.revoke()
    assert f"pg_drop_replication_slot('{slot}')" in caught.value.message
    shop.admin("SELECT pg_drop_replication_slot(%s)", slot)
    shop.admin("DROP PUBLICATION news")
    assert given.revoke().gone
    stream.finish()


def test_privileges_that_somebody_else_gave_the_role_fail_the_end_visibly_and_cannot_be_used(shop):
    given = shop.give()
    shop.admin(f"GRANT SELECT ON app.invoices TO {given.role}")
    shop.admin(f"GRANT pg_read_all_data TO {given.role}")
    with pytest.raises(ConnectorError, match="app.invoices") as caught:
        given.revoke()
    assert f'DROP OWNED BY "{given.role}"' in caught.value.message
    assert shop.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", given.role) is False
    shop.admin(f"DROP OWNED BY {given.role}")
    assert given.revoke().gone


def test_a_server_that_stands_still_in_the_middle_is_given_up_in_time(shop):
    given = shop.give()
    seconds = min(allow(2), 8)
    with connection.connected(shop.place(), connection.Budget(seconds)) as server:
        (backend,) = server.rows("SELECT pg_backend_pid()")[0]
        os.kill(backend, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(ConnectorError):
                server.rows("SELECT 1")
            assert time.monotonic() - began < 2 * seconds
        finally:
            os.kill(backend, signal.SIGCONT)
    assert given.revoke().gone


def test_an_end_while_the_role_is_made_leaves_nothing(shop):
    for delay in (0, 0.01, 0.02, 0.04):
        spec = shop.spec(*WRITE)
        lease = LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)
        making = Started(partial(shop.connector.provision, spec))
        time.sleep(delay)
        shop.connector.revoke(lease)
        making.result()
        # The one who made it finds that the grant is over, and unmakes what it made.
        assert shop.connector.revoke(lease).gone
        assert shop.intact(spec) is None


def test_no_holder_keeps_stint_from_ending_grants(shop):
    """Advisory locks are everybody's, and a role may be given privileges by anybody."""
    one, two = shop.give("SELECT ON app.orders"), shop.give("SELECT ON app.orders")
    with one.login() as first, two.login() as second:
        first.execute(
            "SELECT pg_advisory_lock(classid, objid) FROM generate_series(0, 3) objid, (VALUES (0),"
            " (1465470548)) c (classid)"
        )
        second.execute("CREATE TABLE room.gift ()")
        second.execute(f"GRANT ALL ON room.gift TO {one.role}")
        try:
            one.revoke()
        except ConnectorError as error:
            assert "room.gift" in error.message  # noqa: PT017 - PostgreSQL lets only the giver take it back
        assert dead(first)
        assert two.revoke().gone
    assert one.revoke().gone
    shop.admin("DROP TABLE room.gift")


def test_what_was_made_in_the_name_of_the_role_that_holds_privileges_is_found_as_well(shop):
    given = shop.give("SELECT ON app.orders")
    rights = role_names(given.spec.mark).rights
    with given.login() as session:
        if shop.major >= 16:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SET ROLE {rights}")
            return
        session.execute(f"SET ROLE {rights}")
        session.execute("CREATE TABLE room.mine (id int)")
        session.execute("BEGIN; LOCK TABLE room.mine; PREPARE TRANSACTION 'in another name'")
    evidence = given.revoke()
    assert evidence.gone
    assert evidence.detail["prepared_rolled_back"] == 1


def test_grants_made_and_ended_at_once_on_the_same_tables_do_not_fail_each_other(shop):
    lines = (
        "SELECT, UPDATE (status) ON app.orders",
        "SELECT ON app.invoices",
        "USAGE ON SEQUENCE app.numbers",
        "ROLE reporting_reader",
    )

    def live():
        for _ in range(5):
            assert shop.give(*lines).revoke().gone

    assert at_once(*[live] * 6) == [None] * 6


def test_a_holder_who_locks_the_row_of_their_own_role_again_and_again_is_out(shop):
    given = shop.give(place=shop.place(connection_limit=20))
    stop = threading.Event()

    def lock() -> None:
        while not stop.is_set():
            try:
                session = given.login()
                session.execute("BEGIN")
                session.execute("ALTER ROLE CURRENT_USER SET work_mem = '1MB'")
                session.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{given.password}'")
                session.execute("SELECT pg_sleep(60)")
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=lock) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        # Each try is short, and the worker tries again.
        evidence = None
        while evidence is None:
            with contextlib.suppress(ConnectorError):
                evidence = given.revoke()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert evidence.gone
