"""Which statements are recorded one by one, and which reads are counted together."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from broker.kernel.errors import Unavailable
from sessions_app.gateways.postgres.attempts import SMALL, Attempts, Run
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.postgres.statements import Prepared, Runs, prepare
from tests.sessions_app.policy.commands.postgres.statement_sets import compiled

COMMANDS = compiled(
    {"select": {"tables": ["app.orders"], "columns": ["id"], "where": "required"}, "effect": "read"},
    {"sql": "UPDATE app.orders SET status = 'paid' WHERE id = {id}", "where": {"id": {"int": [1, 9]}}},
    {
        "sql": "SELECT id, card FROM app.orders WHERE id = {id}",
        "where": {"id": {"int": [1, 9]}},
        "effect": "read",
        "hold": True,
    },
    values={},
)
READ = "SELECT id FROM app.orders WHERE id = $1"


def runs(text: str = READ, *values: str) -> Runs:
    prepared = prepare(COMMANDS, text)
    assert isinstance(prepared, Prepared), prepared
    found = prepared.bind(values or ["1"])
    assert isinstance(found, Runs), found
    return found


class Tally:
    """Keeps the lines that were counted."""

    def __init__(self) -> None:
        self.behind, self.lines = False, []

    def count(self, session: int, use: Any, decision: Any, now: Any) -> None:
        self.lines.append(decision.line)


class Record:
    """Takes the place of Stint's database. ``tried`` has the lines that were recorded one by one, and
    ``ends`` how they ended. It accepts nothing while it is ``lost``.
    """

    def __init__(self) -> None:
        self.tried, self.ends, self.lost = [], [], False

    async def run(self, function: Any = None, **about: Any) -> Tried:
        await asyncio.sleep(0)
        if self.lost:
            raise Unavailable("lost")
        decision = about.get("decision") or about["allowed"]
        self.tried.append(decision.line)
        return Tried(
            run_id=len(self.tried),
            session_id=1,
            line=decision.line,
            verdict="allowed",
            decision=decision,
            message="",
            deadline=None,
        )

    def send(self, chain: Any, function: Any, *, state: str, reason: str, **more: Any) -> None:
        self.ends.append((state, reason))


class Connection:
    """The statements of one connection, with what was recorded of them."""

    def __init__(self) -> None:
        self.record, self.tally = Record(), Tally()
        node = SimpleNamespace(
            registry=SimpleNamespace(reports=self.record), clock=SimpleNamespace(now=lambda: None)
        )
        shared = SimpleNamespace(database=self.record, node=node, tries=self.record)
        use = SimpleNamespace(compiled=COMMANDS, mark="GR-1")
        session = SimpleNamespace(id=1, use=use, grant=SimpleNamespace(over="", suspended=False))
        self.attempts = Attempts(shared, session, self.tally)  # type: ignore[arg-type]

    async def begin(self, one: Runs) -> Run:
        run = self.attempts.repeat(one) or await self.attempts.begin(one, lambda _: None)
        run.send()
        return run

    async def run(self, text: str = READ, *values: str, state: str = "done", size: int = 10) -> None:
        run = await self.begin(runs(text, *values))
        run.size = size
        self.attempts.finish(run, state, "22012 division by zero" if state == "failed" else "")
        if run.becoming is not None:
            await run.becoming
        await asyncio.sleep(0)


@pytest.fixture
def line() -> Connection:
    return Connection()


async def test_a_read_is_recorded_first_and_then_counted_with_the_values_of_each(line):
    for number in (1, 1, 2):
        await line.run(READ, str(number))
    assert line.record.tried == [runs(READ, "1").allowed.line]
    assert line.tally.lines == [runs(READ, "1").allowed.line, runs(READ, "2").allowed.line]


async def test_a_change_and_what_needs_approval_are_never_counted(line):
    for text in (
        "UPDATE app.orders SET status = 'paid' WHERE id = $1",
        "SELECT id, card FROM app.orders WHERE id = $1",
    ):
        await line.run(text)
        await line.run(text)
    assert len(line.record.tried) == 4
    assert not line.tally.lines


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ({"state": "failed"}, ("failed", "22012 division by zero")),
        ({"size": SMALL + 1}, ("done", "")),
    ],
)
async def test_a_repeat_that_fails_or_returns_much_is_a_run_of_its_own(line, how, end):
    await line.run()
    await line.run(**how)
    assert len(line.record.tried) == 2
    assert line.record.ends[1] == end
    assert not line.tally.lines
    # The next one is recorded before it is sent.
    await line.run()
    assert len(line.record.tried) == 3


async def test_a_repeat_that_takes_long_is_a_run_while_it_runs(line):
    await line.run()
    run = await line.begin(runs())
    run.began -= 60
    line.attempts._look()
    await run.becoming
    assert len(line.record.tried) == 2
    line.attempts.finish(run, "cut", "the grant has ended")
    await asyncio.sleep(0)
    assert line.record.ends[1] == ("cut", "the grant has ended")


async def test_nothing_is_counted_while_the_record_is_behind_and_nothing_is_lost(line):
    await line.run()
    line.record.lost = True
    await line.run(size=SMALL + 1)
    assert len(line.tally.lines) == 1
    line.record.lost = False
    await line.run()
    line.tally.behind = True
    await line.run()
    assert (len(line.record.tried), len(line.tally.lines)) == (3, 1)
