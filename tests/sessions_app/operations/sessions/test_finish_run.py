"""A command is over."""

import pytest

from sessions_app.models import CommandRun, RunState
from sessions_app.operations.sessions.finish_run import finish_run
from tests.support.world.acts import after, events, last, run, session, use


@pytest.fixture
def tried(world):
    used = use(world.grant(), now=world.now)
    return run(used, session(used, now=world.now), now=world.now)


def test_how_it_ended_is_recorded_with_the_digest_of_its_recording(world, tried):
    finish_run(
        run_id=tried.run_id,
        state="done",
        exit_status=3,
        output_bytes=120,
        recording="2026/11/1.cast",
        recording_digest="a" * 64,
        now=after(world, seconds=2),
    )
    row = CommandRun.objects.get(pk=tried.run_id)
    assert (row.state, row.exit_status, row.ended_at) == (RunState.DONE, 3, after(world, seconds=2))
    data = last("command.finished").data
    assert (data["exit_status"], data["recording_sha256"], data["output_bytes"]) == (3, "a" * 64, 120)


def test_a_command_ends_once_and_late_news_change_nothing(world, tried):
    finish_run(run_id=tried.run_id, state="cut", signal="KILL", reason="the grant ended", now=world.now)
    before = events()
    finish_run(run_id=tried.run_id, state="done", exit_status=0, now=after(world, seconds=9))
    finish_run(run_id=0, state="done", now=world.now)
    row = CommandRun.objects.get(pk=tried.run_id)
    assert (row.state, row.signal, row.reason) == (RunState.CUT, "KILL", "the grant ended")
    assert events() == before


NO_ENDS = ["running", "held", "refused", "allowed", "gone", ""]


def test_only_the_ends_of_a_command_are_ends(world, tried):
    for state in NO_ENDS:
        with pytest.raises(ValueError, match=r"state|RunState"):
            finish_run(run_id=tried.run_id, state=state, now=world.now)
        assert CommandRun.objects.get(pk=tried.run_id).state == RunState.RUNNING
