"""Test databases: each starts as `migrate` leaves it, whether new or reused."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest
from django.db import connections

from broker.audit.models import AuditEntry
from broker.kernel import clock
from tests.conftest import fresh_database
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
    """Wait until a database has no connections: backends take a moment to exit. Gives up after a while."""
    connections.close_all()
    with databases._connect("postgres") as beside:
        eventually(lambda: not beside.execute(_WHO, [name]).fetchall())


def _dump(name: str) -> dict[str, object]:
    """Return all rows and sequences of a database."""
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


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER USER",
        "GRANT TRUNCATE ON audit_entry TO stint_app",
        "CREATE SCHEMA beside",
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


_HOLDS = (
    "import os, psycopg, time; opened = psycopg.connect(os.environ['DATABASE_URL']); print(flush=True);"
    " time.sleep(600)"
)


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


def test_processes_on_a_reused_database_do_not_find_the_checkpoints_of_the_test_before(django_db_blocker):
    used = []
    for _ in range(2):
        with fresh_database(django_db_blocker) as database:
            used.append((database.name, database.env["STINT_CHECKPOINTS_FILE"]))
    (first, before), (again, after) = used
    assert first == again
    assert before != after
