"""Requests with unknown tokens wait for each other, in turn by address; those with known tokens don't."""

import asyncio
import threading
from collections.abc import Callable, Iterable

import pytest

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core import known
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.turns import Turns
from tests.support.waits import happens
from tests.support.world.holders import settle


async def let_in(turns: Turns, kinds: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return who is admitted before a gate opens, and the order of all others after it."""
    inside: list[str] = []
    gate = asyncio.Event()

    async def come(kind: str) -> None:
        async with turns.turn(kind):
            inside.append(kind)
            await gate.wait()

    tasks = [asyncio.create_task(come(kind)) for kind in kinds]
    await settle()
    first = list(inside)
    gate.set()
    await asyncio.gather(*tasks)
    return first, inside


async def test_addresses_take_turns_however_often_each_asks():
    others = [f"198.51.100.{number}" for number in range(3)]
    first, order = await let_in(Turns(1), ["192.0.2.1"] * 50 + others)
    assert first == ["192.0.2.1"]
    assert set(order[1:4]) == set(others)


async def test_no_kind_has_more_turns_than_its_share():
    first, _ = await let_in(Turns(3, each=2), "aaaabc")
    assert first == ["a", "a", "b"]


async def test_a_token_that_was_valid_waits_for_no_stranger_until_it_is_not():
    held, asked_again = threading.Event(), threading.Event()
    database = Database(threads=known.STRANGERS + 1, name="known")
    asked = Admissions(database)
    assert await asked.ask("mine", "192.0.2.9", lambda: "a use") == "a use"
    strangers = [
        asyncio.create_task(asked.ask(f"{n}", f"192.0.2.{n}", lambda: happens(held)))
        for n in range(known.STRANGERS + 5)
    ]
    await settle()
    assert await asked.ask("mine", "192.0.2.1", lambda: "a use") == "a use"
    with pytest.raises(ZeroDivisionError):
        await asked.ask("mine", "192.0.2.1", lambda: 1 // 0)
    again = asyncio.create_task(asked.ask("mine", "192.0.2.1", asked_again.set))
    await begun(database)
    assert not asked_again.is_set()
    held.set()
    await asyncio.gather(*strangers, again)
    database.stop()


async def in_a_thread() -> None:
    """Only a thread can tell."""


async def test_requests_that_come_together_share_one_answer_and_one_that_comes_later_has_its_own():
    database = Database(threads=2, name="known")
    admissions = Admissions(database)

    async def share(key: str = "mine", answer: Callable[[], object] = object) -> object:
        return await admissions.share(key, "mine", "192.0.2.1", in_a_thread, answer)

    await share()
    one, other, elsewhere = await asyncio.gather(share(), share(), share("another target"))
    assert one is other
    assert one is not elsewhere
    held = threading.Event()
    early = asyncio.create_task(share(answer=lambda: [happens(held)]))
    await begun(database)
    late = await share()
    held.set()
    assert late is not await early
    database.stop()


async def test_a_refusal_is_shared_with_nobody_and_an_unreachable_database_is():
    asked, database = [], Database(threads=1, name="known")
    admissions = Admissions(database)
    assert await admissions.ask("mine", "192.0.2.1", lambda: "a use") == "a use"

    def refuse(error: Exception) -> None:
        asked.append(error)
        raise error

    for error, times in ((Unavailable("No database.", hint="Wait."), 1), (ValueError("over"), 3)):
        three = [
            admissions.share("mine", "mine", "192.0.2.1", in_a_thread, refuse, error=error) for _ in range(3)
        ]
        assert await asyncio.gather(*three, return_exceptions=True) == [error] * 3
        assert asked.count(error) == times
    database.stop()


async def begun(database: Database) -> None:
    """Start everything that waits only for a thread."""
    await settle()
    await database.run(lambda: None)


async def test_strangers_that_hang_up_hold_one_thread_however_many_they_are():
    held, inside = threading.Event(), []

    def slow(number: int) -> None:
        inside.append(number)
        happens(held)

    database = Database(threads=8, name="known")
    asked = Admissions(database)
    for number in range(8):
        asking = asyncio.create_task(asked.ask(f"{number}", "192.0.2.1", slow, number=number))
        await begun(database)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    assert inside == [0]
    held.set()
    assert await asked.ask("next", "192.0.2.1", lambda: "a use") == "a use"
    database.stop()


async def test_strangers_who_are_too_many_of_one_address_or_in_all_are_told_to_come_again():
    held = threading.Event()

    async def refused(asked: Admissions, source: str) -> bool:
        """Whether another request from an address is refused at once."""
        asking = asyncio.create_task(asked.ask("x", source, lambda: None))
        await asyncio.sleep(0)
        return asking.done() and isinstance(asking.exception(), Unavailable)

    database = Database(threads=known.STRANGERS + 1, name="known")
    asked = Admissions(database)
    assert await asked.ask("mine", "192.0.2.1", lambda: "a use") == "a use"
    flood = [asyncio.create_task(asked.ask(f"{n}", "192.0.2.1", held.wait)) for n in range(known.MOST_OF_ONE)]
    await asyncio.sleep(0)
    assert await refused(asked, "192.0.2.1")
    assert not await refused(asked, "192.0.2.2")
    assert await asked.ask("mine", "192.0.2.1", lambda: "a use") == "a use"
    for number in range(known.MOST_OF_ALL - known.MOST_OF_ONE - 1):
        address = f"198.51.{number // 200}.{number % 200}"
        flood.append(asyncio.create_task(asked.ask("y", address, lambda: None)))
    await asyncio.sleep(0)
    assert await refused(asked, "192.0.2.3")
    for task in flood[1:]:
        task.cancel()
    await asyncio.wait(flood[1:])
    assert not await refused(asked, "192.0.2.1")
    held.set()
    await asyncio.wait(flood)
    database.stop()


async def test_who_has_proven_nothing_waits_in_turn_and_is_never_known():
    held, database = threading.Event(), Database(threads=known.STRANGERS + 1, name="known")
    admissions = Admissions(database)
    assert await admissions.queue("192.0.2.1", lambda: "a verifier") == "a verifier"
    strangers = [
        asyncio.create_task(admissions.queue("192.0.2.1", lambda: happens(held)))
        for _ in range(known.MOST_OF_ONE)
    ]
    await begun(database)
    with pytest.raises(Unavailable, match="Too many"):
        await admissions.queue("192.0.2.1", lambda: "a verifier")
    held.set()
    await asyncio.gather(*strangers)
    database.stop()
