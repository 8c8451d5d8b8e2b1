"""Databases of one test: each begins as `migrate` leaves it, whether it is new or was used by a test before."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psycopg
import pytest
from django.db import connections

from broker.audit.models import AuditEntry
from broker.kernel import clock
from tests.environment import POSTGRES
from tests.support import databases
from tests.support.databases import own_database
from tests.support.waits import eventually
from tests.support.world.replay import world_again

pytestmark = [pytest.mark.usefixtures("django_db_setup"), pytest.mark.timing]


@pytest.fixture(autouse=True)
def _none_is_left_of_tests_before(django_db_blocker, monkeypatch):
    monkeypatch.setattr(databases, "_unused", [])
    with django_db_blocker.unblock():
        yield
    for name in databases._unused:
        databases.drop_database(name)


_WHO = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL"


def _filled_by_a_test() -> str:
    with own_database() as name:
        clock.sync()
        world_again(clock.now(), fresh=True)
        assert AuditEntry.objects.exists()
        _leave(name)
    return name


def _leave(name: str) -> None:
    """Wait until nobody is in a database: backends take a moment to go, and one that is waited for too long is given up."""
    connections.close_all()
    with databases._connect("postgres") as beside:
        eventually(lambda: not beside.execute(_WHO, [name]).fetchall())


def _dump(name: str) -> dict[str, object]:
    """All rows and all counters of a database."""
    with databases._connect(name) as opened:
        tables = [
            table
            for (table,) in opened.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        rows = {table: databases._hash(opened, table) for table in tables}
        return {**rows, "counters": sorted(map(str, opened.execute(databases._COUNTED).fetchall()))}


def test_a_used_database_is_used_again_and_differs_in_nothing_from_a_new_one():
    name = _filled_by_a_test()
    with own_database() as again:
        assert again == name
        assert _dump(again) == _dump("stint")
        with databases._connect(again) as opened:
            assert databases._one(opened, databases._SCHEMA) == databases._template().schema


def test_what_a_test_did_to_rows_of_the_template_is_undone():
    with own_database() as name:
        with databases._connect(name) as opened:
            opened.execute("DELETE FROM django_migrations WHERE id > 3")
            opened.execute("UPDATE django_content_type SET model = model || 'x' WHERE id = 1")
        _leave(name)
    with own_database() as again:
        assert again == name
        assert _dump(again) == _dump("stint")


def _at_work(name: str) -> psycopg.Connection:
    theirs = psycopg.connect(POSTGRES.url("stint_app", name))
    theirs.execute("SELECT 1")
    return theirs


@pytest.mark.parametrize(
    "change",
    [
        "DROP TRIGGER stint_grant_edges ON sessions_app_grant",
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        "ALTER TABLE sessions_app_cluster ADD COLUMN more int",
        "GRANT TRUNCATE ON audit_entry TO stint_app",
        "CREATE FUNCTION helper() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA beside",
        "CREATE INDEX more ON sessions_app_grant (state, id)",
    ],
)
def test_one_whose_schema_a_test_changed_is_given_to_nobody_else(change):
    with own_database() as name, databases._connect(name) as opened:
        opened.execute(change)
    assert databases._unused == []
    with own_database() as another:
        assert another != name
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            databases._connect(name)


def test_one_that_somebody_has_is_not_taken_from_them(monkeypatch):
    monkeypatch.setattr(databases, "PATIENCE", 1)
    with contextlib.ExitStack() as left:
        with (
            pytest.raises(RuntimeError, match="perhaps by a process that a test left behind"),
            own_database() as name,
        ):
            # At work in a transaction: a connection that waits idle may be one that a dead client left behind.
            theirs = left.enter_context(_at_work(name))
        assert theirs.execute("SELECT current_database()").fetchone() == (name,)
        assert databases._unused == []
    monkeypatch.setattr(databases, "PATIENCE", 40)
    databases.drop_database(name)


def test_one_that_a_dead_client_left_behind_is_dropped_all_the_same(monkeypatch):
    # Half of it passes before the client counts as dead, and in the other half its backend has to go.
    monkeypatch.setattr(databases, "PATIENCE", 16)
    name = databases.copy_of_template()
    # As a client of which nothing but its connection is left.
    with psycopg.connect(POSTGRES.url("stint_app", name), autocommit=True) as left:
        databases.drop_database(name)
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")


_HOLDS = "import os, psycopg, time; opened = psycopg.connect(os.environ['DATABASE_URL']); print(flush=True); time.sleep(600)"


def test_a_process_that_a_test_started_with_one_ends_with_it():
    with own_database() as name:
        env = {**os.environ, "DATABASE_URL": POSTGRES.url("stint_app", name)}
        left = subprocess.Popen([sys.executable, "-c", _HOLDS], env=env, stdout=subprocess.PIPE)
        left.stdout.readline()
    status = left.poll()
    left.kill()
    left.communicate()
    assert status == -signal.SIGKILL
    assert databases._unused == [name]
