"""Operations run in a few threads, so that the loop never blocks; a database failure raises one of two
errors.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import psycopg
import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core.database import Database, NotTaken, guarded
from tests.support.threads import in_thread
from tests.support.waits import PATIENCE, comes_true
from tests.support.world.holders import settle

# `guarded` may check whether its thread's connection is still usable.
pytestmark = pytest.mark.usefixtures("stint_db")


def backend() -> int:
    """The number of this thread's connection at the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def raising(error: Exception):
    def fail(**_: object) -> None:
        raise error

    return fail


def cut_off(database, pid: int) -> None:
    """End a connection at the server, and wait until it is gone."""
    with psycopg.connect(database.env["DATABASE_URL"], autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid]).fetchone() == (True,)


@contextlib.asynccontextmanager
async def running(threads: int) -> AsyncIterator[Database]:
    database = Database(threads=threads, name="counter")
    try:
        yield database
    finally:
        database.stop()


@pytest.fixture
def database(request):
    """A database with one thread, or with the number in the parameter."""
    return running(getattr(request, "param", 1))


# Errors


@pytest.mark.parametrize(
    ("failure", "named", "hint"),
    [
        *((error("gone"), Unavailable, "again") for error in (OperationalError, InterfaceError)),
        *((error("no"), NotTaken, "Nothing was run") for error in (InternalError, DataError, IntegrityError)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_database_that_does_not_respond_is_told_from_one_that_refuses(failure, named, hint):
    with pytest.raises(named) as raised:
        guarded(raising(failure))
    assert hint in raised.value.hint
    assert raised.value.__cause__ is failure


def test_what_is_no_failure_of_the_database_keeps_its_name():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 / 0)


# Connections


def test_a_connection_is_kept_from_one_use_to_the_next(stint_db):
    first, second = in_thread(lambda: (guarded(backend), guarded(backend)))
    assert first == second


@pytest.mark.parametrize(
    ("failure", "kept"), [(OperationalError("closed"), False), (InternalError("no"), True)]
)
def test_a_connection_that_failed_is_dropped_at_once_and_one_that_refused_is_kept(stint_db, failure, kept):
    def work() -> tuple[int, bool, int]:
        first = guarded(backend)
        with pytest.raises(StintError):
            guarded(raising(failure))
        return first, connection.connection is not None, guarded(backend)

    first, connected, second = in_thread(work)
    assert (connected, first == second) == (kept, kept)


def test_a_connection_that_was_idle_for_long_is_tested_before_it_is_used(stint_db):
    def work() -> tuple[int, int]:
        # Nothing was guarded in this thread yet, which counts as long ago.
        idle = backend()
        cut_off(stint_db, idle)
        return idle, guarded(backend)

    idle, used = in_thread(work)
    assert idle != used


def test_a_connection_that_the_server_closed_a_moment_ago_is_replaced_before_it_is_used(stint_db):
    def work() -> tuple[int, int]:
        used = guarded(backend)
        cut_off(stint_db, used)
        return used, guarded(backend)

    closed, used = in_thread(work)
    assert closed != used


def test_a_transaction_whose_connection_was_closed_fails_and_is_not_continued_on_another(stint_db):
    def work() -> None:
        with transaction.atomic():
            cut_off(stint_db, backend())
            with pytest.raises(Unavailable):
                guarded(backend)

    in_thread(work)


# Threads


async def test_what_is_run_is_guarded_and_runs_in_a_named_thread(database):
    assert await database.run(lambda *, word: (threading.current_thread().name, word), word="x") == (
        "counter_0",
        "x",
    )
    with pytest.raises(Unavailable):
        await database.run(raising(OperationalError("gone")))
    with pytest.raises(NotTaken):
        await database.run(raising(InternalError("no")))


async def test_giving_up_waiting_does_not_stop_what_was_begun(database):
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go.wait(PATIENCE)
        done.set()

    asked = asyncio.create_task(database.run(work))
    await comes_true(begun.is_set)
    asked.cancel()
    await settle()
    assert asked.cancelled()
    go.set()
    await comes_true(done.is_set)


async def test_warming_opens_the_connection_that_the_first_use_takes(lone_db, database):
    await database.warm()
    assert await database.run(lambda: connection.connection is not None)


async def test_stopping_waits_for_nothing_drops_what_is_queued_and_takes_nothing_new(database):
    begun, go = threading.Event(), threading.Event()
    ran: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(PATIENCE)
        ran.append("begun")

    first = asyncio.create_task(database.run(work))
    queued = asyncio.create_task(database.run(lambda: ran.append("queued")))
    await comes_true(begun.is_set)
    database.stop()
    assert ran == [], "it did not wait"
    with pytest.raises(RuntimeError):
        await database.run(lambda: ran.append("new"))
    go.set()
    await first
    await settle()
    assert queued.cancelled()
    assert ran == ["begun"]
