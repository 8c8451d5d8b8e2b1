"""Reports of ends to the database: repeated until accepted, and never blocked by one that it refuses."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from django.db import InternalError, OperationalError

from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.reports import Reports
from sessions_app.models import CommandRun, Session
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.finish_run import finish_run
from tests.support.waits import PATIENCE, comes_true, happens
from tests.support.world.acts import events, run, session, use
from tests.support.world.holders import passes, settle


def test_nothing_that_a_target_says_about_an_end_is_refused(world):
    used = use(world.grant(), now=world.now)
    opened = session(used, now=world.now)
    tried = run(used, opened, now=world.now)
    finish_run(
        run_id=tried.run_id,
        state="cut",
        signal="A\0\udc80",
        exit_status=2**32 - 1,
        reason="it said \0\ud800",
        now=world.now,
    )
    close_session(session_id=opened, reason="it said \0", now=world.now)
    row = CommandRun.objects.get(pk=tried.run_id)
    assert (row.signal, row.exit_status, row.reason) == ("A\\x00\\udc80", 2**31 - 1, "it said \\x00\\ud800")
    assert Session.objects.get(pk=opened).close_reason == "it said \\x00"
    assert {"command.finished", "session.closed"} <= set(events(used.grant_ref))


@dataclass
class Taking:
    """An operation that fails as configured, and then accepts the report. It waits until ``go`` is set."""

    name: str
    taken: list[str]
    failures: list[Exception] = field(default_factory=list)
    tried: list[dict[str, object]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.__name__ = self.name
        self.go.set()

    def __call__(self, **arguments: object) -> bool:
        self.tried.append(arguments)
        happens(self.go)
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(self.name)
        return self.name != "quiet"


@dataclass
class Desk:
    """Reports with a database of two threads, and the reports that it has accepted."""

    database: Database
    reports: Reports
    taken: list[str] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)

    def send(self, chain: object, name: str, *failures: Exception, plain=None, **arguments: object) -> Taking:
        taking = Taking(name, self.taken, list(failures))
        self.reports.send(chain, taking, plain=plain or {}, **arguments)
        return taking

    async def answered(self) -> None:
        """Wait until all started operations have finished, and the loop has their results."""
        for _ in range(2):
            # Each thread gets here once it has finished what it had started.
            meeting = threading.Barrier(2)
            await asyncio.gather(*(self.database.run(meeting.wait, timeout=PATIENCE) for _ in range(2)))
            await settle()


@contextlib.asynccontextmanager
async def reporting() -> AsyncIterator[Desk]:
    database = Database(threads=2, name="reports")
    desk = Desk(database, Reports(database))
    desk.reports.on_delivered = lambda: desk.delivered.append(len(desk.taken))
    try:
        yield desk
    finally:
        database.stop()


@pytest.fixture
def desk():
    return reporting()


def logged(caplog, event: str) -> list[dict[str, object]]:
    return [entry.msg for entry in caplog.records if entry.msg["event"] == event]


async def test_a_report_is_told_with_all_that_it_says_and_without_the_plain_words(desk):
    taking = desk.send("a", "one", plain={"reason": "closed"}, reason="it said so", session_id=5)
    assert await desk.reports.wait(seconds=1) is True
    assert taking.tried == [{"reason": "it said so", "session_id": 5}]
    assert desk.delivered == [1]


async def test_a_report_after_which_nothing_is_due_starts_no_sweep(desk):
    desk.send("a", "quiet")
    assert await desk.reports.wait(seconds=1) is True
    assert (desk.taken, desk.delivered) == (["quiet"], [])


async def test_a_report_waits_for_those_before_it_on_its_chain_and_for_no_others(desk):
    first = desk.send("a", "first", OperationalError("gone"))
    second, third = desk.send("a", "second"), desk.send("a", "third")
    other = desk.send("b", "other")
    await comes_true(lambda: "other" in desk.taken and first.tried)
    await desk.answered()
    assert (len(first.tried), second.tried, third.tried, len(other.tried)) == (1, [], [], 1)
    await passes(1.01)
    await comes_true(lambda: len(desk.taken) == 4)
    assert desk.taken == ["other", "first", "second", "third"]


async def test_a_report_is_repeated_each_second_until_the_database_answers(caplog, desk):
    gone = OperationalError("gone")
    taking = desk.send("a", "close", gone, gone)
    for tried in (1, 2, 3):
        await comes_true(lambda tried=tried: len(taking.tried) == tried)
        await desk.answered()
        await passes(0.99)
        assert len(taking.tried) == tried
        await passes(0.02)
    await desk.answered()
    assert len(taking.tried) == 3, "it was taken"
    assert (desk.taken, desk.delivered) == (["close"], [1])
    told = [entry.getMessage() for entry in caplog.records]
    assert len(told) == 2
    assert all("The database does not respond" in line for line in told)


async def test_a_refused_report_is_told_in_plain_words_at_once_and_then_each_second(caplog, desk):
    refusals = InternalError("no"), InternalError("still no")
    taking = desk.send("a", "close", *refusals, plain={"reason": "closed"}, reason="x", now=1)
    await comes_true(lambda: len(taking.tried) == 2)
    await desk.answered()
    assert taking.tried == [{"reason": "x", "now": 1}, {"reason": "closed", "now": 1}]
    await passes(0.99)
    await desk.answered()
    assert len(taking.tried) == 2
    await passes(0.02)
    await comes_true(lambda: desk.taken)
    assert taking.tried[2] == taking.tried[1]
    assert [(one["what"], one["cause"]) for one in logged(caplog, "report.refused")] == [
        ("close", "no"),
        ("close", "still no"),
    ]


async def test_a_report_that_is_refused_in_plain_words_gives_way_to_those_behind_it(desk):
    refused = desk.send("a", "refused", InternalError("no"), InternalError("still no"))
    desk.send("a", "next")
    assert await desk.reports.wait(PATIENCE) is True
    assert (len(refused.tried), desk.taken, desk.delivered) == (2, ["next"], [1])


async def test_a_chain_is_open_until_its_last_report_was_taken(desk):
    assert not desk.reports.chains()
    first, second = desk.send("a", "first"), desk.send("a", "second")
    second.go.clear()
    other = desk.send("b", "other")
    other.go.clear()
    assert set(desk.reports.chains()) == {"a", "b"}
    await comes_true(lambda: second.tried)
    await settle()
    assert (len(first.tried), set(desk.reports.chains())) == (1, {"a", "b"})
    second.go.set()
    await comes_true(lambda: set(desk.reports.chains()) == {"b"})
    other.go.set()
    await comes_true(lambda: not desk.reports.chains())


async def test_waiting_says_whether_all_was_told_in_the_time(desk):
    assert await desk.reports.wait(0) is True
    quick, slow = desk.send("a", "quick"), desk.send("b", "slow")
    slow.go.clear()
    waiting = asyncio.create_task(desk.reports.wait(seconds=3))
    await comes_true(lambda: quick.tried and slow.tried)
    await passes(2.99)
    assert not waiting.done()
    await passes(0.02)
    assert waiting.result() is False
    slow.go.set()
    assert await desk.reports.wait(seconds=3) is True


async def test_a_report_that_fails_by_a_fault_is_logged_and_holds_up_nothing_behind_it(caplog, desk):
    desk.send("a", "close", ZeroDivisionError("a fault"))
    desk.send("a", "next")
    assert await desk.reports.wait(seconds=1) is True
    await settle()
    assert (desk.taken, desk.delivered, set(desk.reports.chains())) == (["next"], [1], set())
    assert [one["error"] for one in logged(caplog, "report.failed")] == ["ZeroDivisionError: a fault"]
