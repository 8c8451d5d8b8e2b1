"""A live view goes on only while its watcher may see the command, and it runs."""

import pytest

from sessions_app.models import CommandRun, Watch
from sessions_app.operations.sessions.keep_watch import keep_watch
from sessions_app.queries.gateways.watches import open_watches
from tests.sessions_app.operations.sessions.test_watch_run import run, watch  # noqa: F401
from tests.support.world import acts


@pytest.fixture
def begun(world, run, now):  # noqa: F811
    return watch(run, world.bob, now)


def keep(world, begun, *, who=None, seconds=9):
    return keep_watch(watch_id=begun.id, actor=who or world.bob, now=acts.after(world, seconds=seconds))


def test_it_is_confirmed_to_the_gateway_and_says_who_watches(world, run, begun, now):  # noqa: F811
    watch(run, world.alice, acts.after(world, seconds=1), "two")
    kept = keep(world, begun)
    assert (kept.over, kept.watchers) == ("", ["Bob", "Alice"])
    assert [one.id for one in open_watches([run.pk], acts.after(world, seconds=18))] == [begun.id]


def test_whose_right_to_see_it_ends_is_cut(world, begun):
    world.bob.groups.clear()
    assert keep(world, begun).over == "access ended"


def test_with_the_command_the_view_is_over(world, run, begun):  # noqa: F811
    CommandRun.objects.filter(pk=run.pk).update(state="done")
    assert keep(world, begun).over == "command ended"


def test_a_view_that_was_ended_elsewhere_is_over(world, begun):
    Watch.objects.all().delete()
    assert keep(world, begun).over == "access ended"
