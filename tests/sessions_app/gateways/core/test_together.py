"""Calls that share a transaction, without a database."""

import asyncio
from typing import Any

import pytest

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import NotTaken
from sessions_app.gateways.core.together import MOST, Together


class Database:
    """Runs each function when the test lets it, and keeps the numbers of calls that ran together."""

    def __init__(self) -> None:
        self.go, self.together, self.alone = asyncio.Event(), [], []
        self.failure: Exception | None = None

    async def run(self, function: Any, **arguments: Any) -> Any:
        await self.go.wait()
        if self.failure is not None and "calls" in arguments:
            raise self.failure
        return function(**arguments)

    def one(self, *, n: int) -> int:
        self.alone.append(n)
        return -n

    def many(self, *, calls: Any) -> list[tuple[int] | None]:
        self.together.append([call["n"] for call in calls])
        return [None if call["n"] == 0 else (call["n"],) for call in calls]


async def calls(database: Database, *numbers: int) -> list[asyncio.Task[int]]:
    """Begin a call for each number, the first before the others."""
    shared: Together[int] = Together(database, database.one, database.many)  # type: ignore[arg-type]
    tasks = []
    for number in numbers:
        tasks.append(asyncio.create_task(shared.run(n=number)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return tasks


async def test_calls_that_arrive_during_a_transaction_share_the_next():
    database = Database()
    tasks = await calls(database, 1, 2, 3)
    database.go.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3]
    assert database.together == [[1], [2, 3]]


async def test_a_transaction_has_a_maximum_of_calls():
    database = Database()
    tasks = await calls(database, *range(1, MOST + 3))
    database.go.set()
    await asyncio.gather(*tasks)
    assert [len(each) for each in database.together] == [1, MOST, 1]


async def test_a_call_that_is_left_out_is_carried_out_alone():
    database = Database()
    tasks = await calls(database, 1, 0, 2)
    database.go.set()
    assert await asyncio.gather(*tasks) == [1, 0, 2]
    assert database.alone == [0]


async def test_if_one_call_can_not_be_stored_each_is_carried_out_alone():
    database = Database()
    database.failure = NotTaken("no")
    tasks = await calls(database, 1, 2)
    database.go.set()
    assert await asyncio.gather(*tasks) == [-1, -2]


@pytest.mark.parametrize("failure", [Unavailable("lost"), ValueError("a bug")])
async def test_every_caller_gets_another_failure_and_later_calls_still_run(failure):
    database = Database()
    shared: Together[int] = Together(database, database.one, database.many)  # type: ignore[arg-type]
    database.failure = failure
    database.go.set()
    found = await asyncio.gather(shared.run(n=1), shared.run(n=2), return_exceptions=True)
    assert found == [failure, failure]
    database.failure = None
    assert await shared.run(n=3) == 3


async def test_a_caller_that_leaves_does_not_stop_the_others():
    database = Database()
    tasks = await calls(database, 1, 2, 3)
    tasks[1].cancel()
    database.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert (found[0], found[2]) == (1, 3)
    assert isinstance(found[1], asyncio.CancelledError)
