"""Who watches a recording is written down."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun
from sessions_app.operations.sessions.watch_recording import VISIT, watch_recording
from tests.support.world import acts


@pytest.fixture
def run(world, now):
    used = acts.use(world.grant(), now=now)
    tried = acts.run(used, acts.session(used, now=now), now=now)
    CommandRun.objects.filter(pk=tried.run_id).update(recording="GR/1.cast", recording_digest="d" * 64)
    return CommandRun.objects.get(pk=tried.run_id)


def watched(run) -> int:
    return acts.events(run.grant.ref).count("recording.watched")


def test_it_is_recorded_with_who_and_which(world, run, now):
    watch_recording(run_id=run.pk, actor=world.bob, now=now)
    entry = acts.last("recording.watched", run.grant.ref)
    assert (entry.actor, entry.data["run"], entry.data["recording_sha256"]) == ("bob", run.pk, "d" * 64)


def test_one_visit_is_one_entry_and_the_next_visit_is_another(world, run, now):
    for seconds in (0, 1, 30):
        watch_recording(run_id=run.pk, actor=world.bob, now=acts.after(world, seconds=seconds))
    assert watched(run) == 1
    watch_recording(run_id=run.pk, actor=world.dora, now=now)
    assert watched(run) == 2
    watch_recording(run_id=run.pk, actor=world.bob, now=now + VISIT)
    assert watched(run) == 3


def test_what_is_not_yours_is_not_there(world, run, now):
    with pytest.raises(NotFound):
        watch_recording(run_id=run.pk, actor=world.charlie, now=now)
    assert watched(run) == 0


def test_a_run_without_a_recording_is_not_there(world, run, now):
    CommandRun.objects.filter(pk=run.pk).update(recording="")
    with pytest.raises(NotFound):
        watch_recording(run_id=run.pk, actor=world.bob, now=now)
