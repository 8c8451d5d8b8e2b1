"""The ends of many commands in one transaction: each is recorded like an end of its own."""

import pytest
from django.db import transaction

from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.finish_runs import finish_runs
from tests.support.world.acts import after, at_once, events, intact, last, run, session, use

ENDS = (
    {
        "state": "done",
        "exit_status": 3,
        "output_bytes": 120,
        "recording": "1.cast",
        "recording_digest": "a" * 64,
    },
    {"state": "done", "rows": 7, "exchanged": {"rows": 7, "seconds": 0.1}, "recording_bytes": 9},
    {"state": "cut", "signal": "KILL\0", "reason": "the grant ended \0", "sent": True, "unused": {}},
    {"state": "failed", "reason": "it was not sent", "exit_status": 2**32 - 1},
)


@pytest.fixture
def used(world):
    return use(world.grant(), now=world.now)


@pytest.fixture
def opened(world, used):
    return session(used, now=world.now)


def started(world, used, opened) -> int:
    return run(used, opened, now=world.now).run_id


def stored(run_id: int) -> dict[str, object]:
    return {**CommandRun.objects.filter(pk=run_id).values().get(), "id": 0}


def test_each_is_recorded_like_an_end_of_its_own(world, used, opened):
    alone = [started(world, used, opened) for _ in ENDS]
    together = [started(world, used, opened) for _ in ENDS]
    entries = []
    for key, end in zip(alone, ENDS, strict=True):
        finish_run(run_id=key, now=after(world, seconds=2), **end)
        entries.append({**last("command.finished").data, "run": 0})
    ends = [
        {"run_id": key, "now": after(world, seconds=2), **end}
        for key, end in zip(together, ENDS, strict=True)
    ]
    assert finish_runs(ends=ends) == [True] * len(ENDS)
    assert [stored(key) for key in together] == [stored(key) for key in alone]
    assert {**last("command.finished").data, "run": 0} == entries[-1]
    assert last("command.finished").data["run"] == together[-1]
    assert events().count("command.finished") == 2 * len(ENDS)
    assert intact()


def test_what_is_over_or_unknown_is_left(world, used, opened):
    over, open_ = started(world, used, opened), started(world, used, opened)
    finish_run(run_id=over, state="cut", now=world.now)
    ends = [{"run_id": key, "state": "done", "now": world.now} for key in (over, open_, 0, open_)]
    assert finish_runs(ends=ends) == [False, True, False, False]
    assert CommandRun.objects.get(pk=over).state == RunState.CUT
    assert events().count("command.finished") == 2


def test_a_run_that_counts_against_a_budget_is_left(world, used, opened):
    key = started(world, used, opened)
    CommandRun.objects.filter(pk=key).update(charges=[{"measure": "rows"}])
    assert finish_runs(ends=[{"run_id": key, "state": "done", "now": world.now}]) == [False]
    assert CommandRun.objects.get(pk=key).state == RunState.RUNNING


def test_nothing_else_is_an_end(world, used, opened):
    key = started(world, used, opened)
    for state in ("running", "held", "gone", ""):
        with pytest.raises(ValueError, match=r"state|RunState"):
            finish_runs(ends=[{"run_id": key, "state": state, "now": world.now}])


def test_a_locked_run_is_left_without_waiting(live_world):
    used = use(live_world.grant(), now=live_world.now)
    opened = session(used, now=live_world.now)
    locked, free = started(live_world, used, opened), started(live_world, used, opened)
    ends = [{"run_id": key, "state": "done", "now": live_world.now} for key in (locked, free)]
    with transaction.atomic():
        CommandRun.objects.select_for_update(no_key=True).get(pk=locked)
        (made,) = at_once(lambda: finish_runs(ends=ends))
    assert made == [False, True]
