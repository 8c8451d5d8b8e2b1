"""A person no longer watches a running command."""

from sessions_app.models import Watch
from sessions_app.operations.sessions.end_watch import LOST_AFTER, end_lost_watches, end_watch
from tests.sessions_app.operations.sessions.test_watch_run import run, watch  # noqa: F401
from tests.support.world import acts


def test_it_is_recorded_once_with_how_long_and_why(world, run, now):  # noqa: F811
    begun = watch(run, world.bob, now)
    for _ in range(2):
        end_watch(watch_id=begun.id, reason="left", now=acts.after(world, seconds=75))
    entry = acts.last("command.watch_ended", run.grant.ref)
    assert (entry.actor, entry.data["seconds"], entry.data["reason"]) == ("bob", 75, "left")
    assert acts.events(run.grant.ref).count("command.watch_ended") == 1
    assert not Watch.objects.exists()


def test_the_views_of_a_process_that_was_lost_are_ended_and_others_go_on(world, run, now):  # noqa: F811
    watch(run, world.bob, now)
    later = now + LOST_AFTER
    kept = watch(run, world.alice, later, "two")
    assert end_lost_watches(now=acts.after(world, seconds=31)) == 1
    assert list(Watch.objects.values_list("pk", flat=True)) == [kept.id]
    assert acts.last("command.watch_ended", run.grant.ref).data["reason"] == "lost"
