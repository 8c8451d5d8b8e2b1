"""Databases and people for every test. Alice requests, Bob and Dora approve, Charlie has no permissions."""

import contextlib
import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import asyncssh  # noqa: F401  # starts ldconfig(8) when it is imported, which no quick test may do
import hypothesis
import psycopg
import pytest
from django.db import connection, connections

from tests.environment import POSTGRES, ROOT, STATE
from tests.support.breadth import FULL, examples
from tests.support.databases import appending_at_once, copy_of_template, own_database, use
from tests.support.world.replay import world_again
from tests.support.world.world import World

_numbers = itertools.count(1)

# The duration of an example depends on the load of the machine, not on the example.
hypothesis.settings.register_profile(
    "stint",
    max_examples=examples(100),
    deadline=None,
    # `make test` tries the same examples each time; `make test-all` tries new ones.
    derandomize=not FULL,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("stint")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let the worker processes of pytest-xdist share this process's server and template."""
    os.environ["STINT_TEST_SHARED"] = str(STATE)


def pytest_collection_finish() -> None:
    """Freeze the imported objects, so that the garbage collector does not scan them repeatedly."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@dataclass(frozen=True)
class Database:
    """The database of one test, and the environment that points other processes to it."""

    name: str
    env: dict[str, str]


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker) -> Iterator[None]:
    """Let tests that roll back share one copy of the template, as the application's database role."""
    with django_db_blocker.unblock():
        use(appending_at_once(copy_of_template()))
    yield
    with django_db_blocker.unblock():
        connections.close_all()


@contextlib.contextmanager
def fresh_database(blocker) -> Iterator[Database]:
    """Yield a separate database, for threads and other processes."""
    with blocker.unblock(), own_database() as name:
        env = {
            **os.environ,
            "DATABASE_URL": POSTGRES.url("stint_app", name),
            "DATABASE_OWNER_URL": POSTGRES.url("stint_owner", name),
            # A checkpoint of another database would contradict the record of this one.
            "STINT_CHECKPOINTS_FILE": str(STATE / f"checkpoints-{name}-{next(_numbers)}.txt"),
        }
        yield Database(name, env)


@pytest.fixture
def stint_db(django_db_setup, django_db_blocker) -> Iterator[Database]:
    """Yield a fresh database for one test."""
    with fresh_database(django_db_blocker) as database:
        yield database


@pytest.fixture
def other_process(processes, stint_db: Database) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that runs a script with some arguments on the test's database, and wait until it
    reports that it is ready.
    """
    env = {**stint_db.env, "DJANGO_SETTINGS_MODULE": "broker.settings"}
    with contextlib.ExitStack() as stack:

        def start(script: str, *words: str, says: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", script, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE
                )
            )
            stack.callback(process.kill)
            assert process.stdout.readline().decode() == f"{says}\n"
            return process

        yield start


@pytest.fixture
def app_connection(stint_db: Database) -> Iterator[psycopg.Connection]:
    """Yield a connection with the application's role, as a thief of its password would have."""
    with psycopg.connect(stint_db.env["DATABASE_URL"], autocommit=True) as opened:
        yield opened


@pytest.fixture
def owner_connection(stint_db: Database) -> Iterator[psycopg.Connection]:
    """Yield a connection of the schema's owner."""
    with psycopg.connect(stint_db.env["DATABASE_OWNER_URL"], autocommit=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    """Reset in-process state between tests: the clock reading, which each test takes from its own database,
    and the counts per person, because people have the same ids in each test.
    """
    from broker.kernel import clock, recent

    clock._reading = None
    recent.forget()


@pytest.fixture(autouse=True)
def _checkpoints_of_its_own(settings) -> None:
    """Give each test its own checkpoint file, so that it does not contradict another test's database."""
    settings.CHECKPOINTS_FILE = STATE / f"checkpoints-{os.getpid()}-{next(_numbers)}.txt"


@pytest.fixture
def now():
    """Return the database's time. The query ensures that the test has a database."""
    from broker.kernel import clock

    return clock.now()


@pytest.fixture
def world(db, now) -> World:
    """Return people and a small catalog, which are rolled back after the test."""
    return world_again(now)


@pytest.fixture
def live_world(stint_db) -> World:
    """Return the same, committed in a separate database."""
    from broker.kernel import clock

    clock.sync()
    made = world_again(clock.now(), fresh=True)
    assert connection.in_atomic_block is False
    return made


@pytest.fixture
def alice(world):
    return world.alice


@pytest.fixture
def bob(world):
    return world.bob


@pytest.fixture
def charlie(world):
    return world.charlie
