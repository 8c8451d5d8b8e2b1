"""A person begins to watch a running command."""

import pytest

from accounts.models import Identity
from broker.kernel.crypto import CannotDecrypt, place_of, unseal
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, Watch
from sessions_app.operations.sessions.watch_run import (
    MOST_WATCHERS,
    NotRunning,
    TooManyWatchers,
    watch_run,
)
from sessions_app.queries.gateways.watches import open_watches
from tests.support.world import acts


@pytest.fixture
def run(world, now):
    used = acts.use(world.grant(), now=now)
    return CommandRun.objects.get(pk=acts.run(used, acts.session(used, now=now), now=now).run_id)


def watch(run, who: Identity, now, channel="one"):
    return watch_run(run_id=run.pk, actor=who, channel=channel, now=now)


def test_it_is_recorded_with_who_and_which_before_there_is_any_output(world, run, now):
    begun = watch(run, world.bob, now)
    entry = acts.last("command.watch_began", run.grant.ref)
    assert (entry.actor, entry.data["run"], entry.data["target"]) == ("bob", run.pk, "web-1")
    assert [(one.id, one.channel, one.key) for one in open_watches([run.pk], now)] == [
        (begun.id, "one", begun.key)
    ]


def test_each_view_has_a_key_that_opens_no_other_row(world, run, now):
    one, two = watch(run, world.bob, now), watch(run, world.alice, now, "two")
    assert one.key != two.key
    sealed = bytes(Watch.objects.get(pk=one.id).sealed_key)
    with pytest.raises(CannotDecrypt):
        unseal(sealed, place=place_of(Watch.objects.get(pk=two.id), "sealed_key"))


def test_a_view_that_nobody_confirms_gets_nothing(world, run, now):
    watch(run, world.bob, now)
    assert not open_watches([run.pk], acts.after(world, seconds=11))


def test_a_command_that_one_may_not_see_is_not_there(world, run, now):
    with pytest.raises(NotFound):
        watch(run, world.charlie, now)
    assert not Watch.objects.exists()


def test_a_command_that_is_over_can_not_be_watched(world, run, now):
    CommandRun.objects.filter(pk=run.pk).update(state="done")
    with pytest.raises(NotRunning):
        watch(run, world.bob, now)


def test_so_many_may_watch_and_no_more(world, run, now):
    for number in range(MOST_WATCHERS):
        watch(run, world.bob, now, str(number))
    with pytest.raises(TooManyWatchers):
        watch(run, world.bob, now, "more")
    assert acts.events(run.grant.ref).count("command.watch_began") == MOST_WATCHERS
