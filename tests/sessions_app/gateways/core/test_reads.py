"""Reads on the event loop's own connection: each has its own answer, and what fails is left to a thread or
refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from broker.kernel.errors import Unavailable
from broker.kernel.statement import Statement, number
from sessions_app.gateways.core.reads import BUSY_S, MOST, Reads
from tests.support.waits import comes_true
from tests.support.world.holders import passes, settle

BACKEND = Statement("test_backend", "SELECT pg_backend_pid()")
SHARE = Statement("test_share", "SELECT 60 / $1::int")
SLEEP = Statement("test_sleep", "SELECT pg_sleep(60)::text")


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Reads]:
    reads = Reads()
    await comes_true(lambda: reads.read(BACKEND, []))
    try:
        yield reads
    finally:
        reads.close()


@pytest.fixture
def reads(lone_db):
    """Reads that were frequent enough for a connection."""
    return connected()


async def backend(reads: Reads) -> int:
    """The number of the connection at the server; 0 if there is none."""
    answer = await reads.read(BACKEND, [])
    return number(answer.get_value(0, 0)) if answer else 0


async def test_the_first_read_is_for_a_thread_and_opens_nothing(lone_db):
    reads = Reads()
    assert await reads.read(BACKEND, []) is None
    await passes(BUSY_S + 0.1)
    assert await reads.read(BACKEND, []) is None
    with psycopg.connect(lone_db.env["DATABASE_URL"]) as other:
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_backend_pid%' AND pid <>"
            " pg_backend_pid()"
        )
        assert other.execute(asked).fetchone() == (0,)


async def test_reads_under_way_together_each_have_their_own_answer(reads):
    divisors = [1, 2, 3, 4, 5, 6] * 10
    answers = await asyncio.gather(*(reads.read(SHARE, [b"%d" % one]) for one in divisors))
    assert [number(answer.get_value(0, 0)) for answer in answers] == [60 // one for one in divisors]


async def test_reads_beyond_those_that_fit_into_the_buffer_are_for_threads(reads):
    answers = await asyncio.gather(*(reads.read(BACKEND, []) for _ in range(MOST + 3)))
    assert [answer is None for answer in answers] == [False] * MOST + [True] * 3


async def test_a_read_that_the_database_refuses_is_for_a_thread_and_later_ones_have_a_connection_again(reads):
    assert await reads.read(SHARE, [b"0"]) is None
    await comes_true(lambda: backend(reads))


async def test_a_connection_that_the_server_closes_is_replaced(reads, lone_db):
    first = await backend(reads)
    with psycopg.connect(lone_db.env["DATABASE_URL"], autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 10000)", [first]).fetchone() == (True,)
    await comes_true(lambda: backend(reads))
    assert await backend(reads) != first


async def test_a_silent_database_refuses_the_read_in_two_seconds_and_those_behind_it_are_for_threads(reads):
    silent = asyncio.create_task(reads.read(SLEEP, []))
    await settle()
    await passes(1.0)
    behind = asyncio.create_task(reads.read(SHARE, [b"1"]))
    await settle()
    await passes(1.1)
    with pytest.raises(Unavailable):
        await silent
    assert await behind is None


async def test_a_connection_that_was_idle_for_longer_than_two_seconds_is_not_used(reads):
    await passes(BUSY_S + 0.1)
    assert await reads.read(BACKEND, []) is None
