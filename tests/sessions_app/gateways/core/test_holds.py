"""A decision wakes those who wait for it.

They also check every two seconds, in case the notification was lost.
"""

import asyncio

from sessions_app.gateways.core.holds import Holds
from tests.support.world.holders import passes, settle


def waiting(holds: Holds, run_id: int) -> asyncio.Task[None]:
    return asyncio.create_task(holds.next(run_id))


async def test_a_decision_wakes_who_waits_for_it_at_once_and_nobody_else():
    holds = Holds()
    one, other = waiting(holds, 1), waiting(holds, 2)
    await settle()
    assert not one.done()
    holds.heard(1)
    await settle()
    assert (one.done(), other.done()) == (True, False)
    assert one.exception() is None


async def test_without_any_news_a_waiter_looks_again_after_two_seconds():
    one = waiting(Holds(), 1)
    await settle()
    await passes(1.99)
    assert not one.done()
    await passes(0.02)
    assert one.done()
    assert one.exception() is None


async def test_who_waits_again_waits_for_the_next_news():
    holds = Holds()
    for news in (lambda: holds.heard(1), lambda: passes(2.01)):
        one = waiting(holds, 1)
        await settle()
        assert not one.done()
        heard = news()
        if heard is not None:
            await heard
        await settle()
        assert one.done()
    again = waiting(holds, 1)
    await settle()
    assert not again.done()


async def test_who_gives_up_waiting_is_let_go():
    holds = Holds()
    one = waiting(holds, 1)
    await settle()
    one.cancel()
    await settle()
    assert one.cancelled()
    holds.heard(1)
    again = waiting(holds, 1)
    await settle()
    assert not again.done()
