"""Operations run in a few threads, so that the loop waits for none; a failure of the database has one of two names."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import InterfaceError, InternalError, OperationalError, connection, transaction

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database, NotTaken, guarded
from tests.support.threads import in_thread
from tests.support.waits import PATIENCE, comes_true
from tests.support.world.holders import play_out, settle

# A function that is guarded may look whether its thread's connection is still good.
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


def using(threads: int, scenario) -> None:
    """Run a scenario with a database of so many threads, which is stopped at its end."""

    async def run() -> None:
        database = Database(threads=threads, name="counter")
        try:
            await scenario(database)
        finally:
            database.stop()

    play_out(run)


# What a failure is called


@pytest.mark.parametrize("failure", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_unavailable_and_says_when_to_try_again(failure):
    with pytest.raises(Unavailable) as raised:
        guarded(raising(failure))
    assert "database" in raised.value.message
    assert "again" in raised.value.hint
    assert raised.value.__cause__ is failure


def test_a_database_that_refuses_says_that_nothing_was_run():
    failure = InternalError("no")
    with pytest.raises(NotTaken) as raised:
        guarded(raising(failure))
    assert "record" in raised.value.message
    assert "Nothing was run" in raised.value.hint
    assert raised.value.__cause__ is failure
    assert (raised.value.code, raised.value.status) == ("not_taken", 500)


def test_what_is_no_failure_of_the_database_keeps_its_name():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 / 0)


def test_what_a_function_is_given_and_returns_passes_unchanged():
    assert guarded(dict, one=1, two=[2]) == {"one": 1, "two": [2]}


# Connections


def test_a_connection_is_kept_from_one_use_to_the_next(stint_db):
    first, second = in_thread(lambda: (guarded(backend), guarded(backend)))
    assert first == second


def test_a_connection_that_failed_is_dropped_at_once(stint_db):
    def work() -> tuple[int, object, int]:
        first = guarded(backend)
        with pytest.raises(Unavailable):
            guarded(raising(OperationalError("the server closed the connection")))
        return first, connection.connection, guarded(backend)

    first, left, second = in_thread(work)
    assert left is None
    assert first != second


def test_a_statement_that_is_refused_costs_no_connection(stint_db):
    def work() -> tuple[int, int]:
        first = guarded(backend)
        with pytest.raises(NotTaken):
            guarded(raising(InternalError("no")))
        return first, guarded(backend)

    first, second = in_thread(work)
    assert first == second


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


def test_the_loop_goes_on_while_the_database_is_asked():
    async def scenario(database):
        answer = threading.Event()
        asked = asyncio.create_task(database.run(answer.wait, timeout=PATIENCE))
        await settle()
        assert not asked.done()
        answer.set()
        assert await asked is True

    using(1, scenario)


def test_what_is_run_is_guarded_and_runs_in_a_named_thread():
    async def scenario(database):
        assert await database.run(lambda *, word: (threading.current_thread().name, word), word="x") == (
            "counter_0",
            "x",
        )
        with pytest.raises(Unavailable):
            await database.run(raising(OperationalError("gone")))
        with pytest.raises(NotTaken):
            await database.run(raising(InternalError("no")))

    using(1, scenario)


def test_as_many_run_at_once_as_there_are_threads_and_the_next_waits():
    async def scenario(database):
        meeting, leave = threading.Barrier(3), threading.Event()

        def work() -> bool:
            meeting.wait(PATIENCE)
            return leave.wait(PATIENCE)

        both = [asyncio.create_task(database.run(work)) for _ in range(2)]
        third = asyncio.create_task(database.run(lambda: leave.is_set()))
        # Both of them meet this thread, so both have begun.
        await asyncio.to_thread(meeting.wait, PATIENCE)
        await settle()
        assert not third.done()
        leave.set()
        assert await asyncio.gather(*both, third) == [True, True, True]

    using(2, scenario)


def test_giving_up_waiting_does_not_stop_what_was_begun():
    async def scenario(database):
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

    using(1, scenario)


def test_warming_opens_the_connection_of_every_thread(lone_db):
    async def scenario(database):
        meeting = threading.Barrier(3)

        def look() -> tuple[int, bool]:
            meeting.wait(PATIENCE)
            return threading.get_ident(), connection.connection is not None

        # One that is connected already is quick, and takes nobody else's turn.
        await database.run(connection.ensure_connection)
        await database.warm()
        seen = await asyncio.gather(*(database.run(look) for _ in range(3)))
        assert len({thread for thread, _ in seen}) == 3
        assert all(connected for _, connected in seen)

    using(3, scenario)


def test_stopping_waits_for_nothing_drops_what_is_queued_and_takes_nothing_new():
    async def scenario(database):
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

    using(1, scenario)


def test_each_thread_remembers_for_itself_when_its_connection_was_used(stint_db):
    def idle_in_another_thread() -> tuple[int, int]:
        idle = backend()
        cut_off(stint_db, idle)
        with ThreadPoolExecutor(1) as other:
            other.submit(guarded, lambda: None).result(PATIENCE)
        return idle, guarded(backend)

    idle, used = in_thread(idle_in_another_thread)
    assert idle != used
