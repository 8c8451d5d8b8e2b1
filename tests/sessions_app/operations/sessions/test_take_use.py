"""An approval for several runs is used that often, by exactly the same command."""

from functools import partial

from sessions_app.models import CommandRun
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.release_held import release_held
from tests.support.world.acts import at_once, last, run, session, use, vary_holds

LINE = "echo stop nginx 1"


def allowed(world, *, times):
    """Return a use of a grant, its session, and the held command that was allowed this often."""
    vary_holds(world)
    used = use(world.grant(), now=world.now)
    opened = session(used, now=world.now)
    held = run(used, opened, LINE, now=world.now)
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, times=times, now=world.now)
    return used, opened, held


def test_a_command_runs_as_often_as_allowed_and_only_exactly_as_typed(world):
    used, opened, held = allowed(world, times=3)
    assert run(used, opened, "echo stop nginx 2", now=world.now).verdict == "held"
    release = partial(release_held, use=used, run_id=held.run_id, line=LINE, decision=held.decision)
    assert release(now=world.now).verdict == "allowed"
    tried = [run(used, opened, LINE, now=world.now) for _ in range(3)]
    assert [one.verdict for one in tried] == ["allowed", "allowed", "held"]
    assert last("command.hold_decided").data["times"] == 3
    assert CommandRun.objects.get(pk=tried[0].run_id).notes == f"allowed 3 times by Bob, as run {held.run_id}"
    other = use(world.grant(), now=world.now)
    assert run(other, session(other, now=world.now), LINE, now=world.now).verdict == "held"


def test_of_50_runs_at_once_no_more_than_allowed_begin_with_the_held_one_among_them(live_world):
    world = live_world
    used, opened, held = allowed(world, times=7)
    release = partial(
        release_held, use=used, run_id=held.run_id, line=LINE, decision=held.decision, now=world.now
    )
    at_once(release, *[partial(run, used, opened, LINE, now=world.now) for _ in range(50)])
    running = CommandRun.objects.filter(grant=used.grant_id, state="running")
    assert running.count() == 7
    assert CommandRun.objects.get(pk=held.run_id).uses_left == 0
