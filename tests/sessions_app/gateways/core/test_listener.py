"""Ends, decisions and orders arrive by PostgreSQL's NOTIFY; those missed while disconnected are queried."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from sessions_app.gateways.core.listener import cancelled, listen, numbers
from tests.support.waits import comes_true
from tests.support.world.holders import play_out, settle

LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        ("7", [7]),
        ("1 22  333\n4", [1, 22, 333, 4]),
        ("", []),
        (" ", []),
        ("1 x 2 -3 4.0 0x5 ² ٣ 6", [1, 2, 6]),
    ],
)
def test_only_the_plain_numbers_of_a_payload_count(payload, ids):
    assert numbers(payload) == ids


@dataclass
class Ear:
    """Records the notifications that arrive."""

    heard: list[tuple[str, object]] = field(default_factory=list)
    on_gap: Callable[[], None] = lambda: None

    async def grants(self, ids: list[int]) -> None:
        self.heard.append(("grants", ids))

    def hold(self, run_id: int) -> None:
        self.heard.append(("hold", run_id))

    def order(self) -> None:
        self.heard.append(("order", None))

    async def gap(self) -> None:
        self.heard.append(("gap", None))
        self.on_gap()

    def times(self, what: str) -> int:
        return sum(kind == what for kind, _ in self.heard)

    def listen(self, **others) -> asyncio.Task[None]:
        parts = {"on_grants": self.grants, "on_hold": self.hold, "on_order": self.order, "on_gap": self.gap}
        for what in ("watch", "stop"):
            parts[f"on_{what}"] = lambda ids, what=what: self.heard.append((what, ids))
        return asyncio.create_task(listen(**{**parts, **others}))


@contextlib.asynccontextmanager
async def listening(**others) -> AsyncIterator[Ear]:
    """Listen until the block ends."""
    ear = Ear()
    task = ear.listen(**others)
    try:
        await comes_true(lambda: ear.times("gap") or task.done())
        assert not task.done()
        yield ear
    finally:
        await cancelled(task)


class Recorded:
    """The seconds that the listener slept, each shortened so that the test need not wait."""

    def __init__(self, monkeypatch) -> None:
        self.slept: list[float] = []
        really = asyncio.sleep

        async def sleep(seconds: float) -> None:
            if seconds:
                self.slept.append(seconds)
            await really(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)


def cut_off(owner) -> int:
    """End the connections of listeners at the server, wait until they are closed, and return their number."""
    return len(owner.execute(f"SELECT pg_terminate_backend(pid, 10000) {LISTENERS}").fetchall())


def lost(caplog) -> list[str]:
    return [
        entry.getMessage() for entry in caplog.records if entry.name == "sessions_app.gateways.core.listener"
    ]


def test_each_kind_of_news_reaches_the_one_who_asked_for_it(lone_db, app_connection):
    async def scenario():
        async with listening() as ear:
            ear.heard.clear()
            for channel, payload in (
                ("stint_grant", "4 5"),
                ("stint_order", "9"),
                ("stint_hold", "6 7"),
                ("stint_else", "8"),
                ("stint_watch", "3"),
                ("stint_stop", "2"),
                ("stint_grant", "1"),
            ):
                app_connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])
            await comes_true(lambda: len(ear.heard) >= 7)
            assert ear.heard == [
                ("grants", [4, 5]),
                ("order", None),
                ("hold", 6),
                ("hold", 7),
                ("watch", [3]),
                ("stop", [2]),
                ("grants", [1]),
            ]

    play_out(scenario)


def test_the_listener_is_subscribed_before_it_says_that_it_missed_something(lone_db, app_connection):
    async def scenario():
        ear = Ear()
        # Later notifications arrive; for the earlier ones, the database is queried now.
        ear.on_gap = lambda: [
            app_connection.execute("SELECT pg_notify(%s, '3')", [channel])
            for channel in ("stint_grant", "stint_hold", "stint_order")
        ]
        task = ear.listen()
        await comes_true(lambda: len(ear.heard) >= 4)
        assert ear.heard == [("gap", None), ("grants", [3]), ("hold", 3), ("order", None)]
        await cancelled(task)

    play_out(scenario)


def test_a_listener_that_was_cut_off_connects_again_and_says_that_it_missed_something(
    lone_db, owner_connection, app_connection, caplog, monkeypatch
):
    recorded = Recorded(monkeypatch)

    async def scenario():
        async with listening() as ear:
            for number in (1, 2):
                assert cut_off(app_connection) == 1
                await comes_true(lambda number=number: ear.times("gap") == 1 + number)
                app_connection.execute("NOTIFY stint_grant, '4'")
                await comes_true(lambda number=number: ear.times("grants") == number)

    play_out(scenario)
    assert recorded.slept == [0.1, 0.1], "it begins anew with the shortest wait"
    assert len(lost(caplog)) == 2
    assert all(error and error == error.strip() for error in lost(caplog))


def test_a_database_that_stays_away_is_asked_less_and_less_often_but_every_two_seconds(
    settings, caplog, monkeypatch
):
    recorded = Recorded(monkeypatch)
    for name, value in (("HOST", "127.0.0.1"), ("PORT", "1")):
        monkeypatch.setitem(settings.DATABASES["default"], name, value)

    async def scenario():
        ear = Ear()
        task = ear.listen()
        await comes_true(lambda: len(recorded.slept) >= 7)
        await cancelled(task)
        assert ear.heard == []

    play_out(scenario)
    assert recorded.slept[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert len(lost(caplog)) >= 7
    assert all("refused" in error and error == error.strip() for error in lost(caplog))


def test_a_network_that_fails_while_listening_is_tried_again(lone_db):
    async def scenario():
        async with listening() as ear:
            failures = [OSError("no route")]

            async def gap() -> None:
                ear.heard.append(("gap", None))
                if failures:
                    raise failures.pop()

            task = ear.listen(on_gap=gap)
            await comes_true(lambda: ear.times("gap") == 2)
            await settle()
            asyncio.get_running_loop().jump(0.11)
            await comes_true(lambda: ear.times("gap") == 3)
            await cancelled(task)

    play_out(scenario)


def test_a_fault_of_the_endpoint_itself_ends_the_listening_and_is_not_hidden(lone_db, app_connection):
    async def scenario():
        def order() -> None:
            raise ValueError("a fault")

        ear = Ear()
        task = ear.listen(on_order=order)
        await comes_true(lambda: ear.heard)
        app_connection.execute("NOTIFY stint_order")
        await comes_true(task.done)
        assert isinstance(task.exception(), ValueError)

    play_out(scenario)


def test_a_part_that_failed_already_keeps_nobody_from_leaving():
    async def fail() -> None:
        raise ValueError("x")

    async def scenario() -> None:
        failed, waiting = asyncio.ensure_future(fail()), asyncio.ensure_future(asyncio.Event().wait())
        await asyncio.sleep(0)
        for task in (failed, waiting):
            await cancelled(task)
        assert isinstance(failed.exception(), ValueError)
        assert waiting.cancelled()

    asyncio.run(scenario())
