"""Those who may allow a held command are told again, but not all the time."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, Notice
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.remind_hold import RemindedAlready, remind_hold
from tests.support.world import acts


@pytest.fixture
def run(world, now):
    used = acts.use(world.grant(), now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    return CommandRun.objects.get(pk=tried.run_id)


def told(who) -> int:
    return Notice.objects.filter(identity=who, event="command.held").count()


def test_they_are_told_once_more_after_a_minute(world, run):
    later = acts.after(world, seconds=61)
    remind_hold(run_id=run.pk, actor=world.alice, now=later)
    assert (told(world.bob), told(world.dora), told(world.alice)) == (2, 2, 0)
    assert acts.last("command.reminded", run.grant.ref).data["run"] == run.pk


def test_not_more_than_once_a_minute(world, run):
    with pytest.raises(RemindedAlready):
        remind_hold(run_id=run.pk, actor=world.alice, now=acts.after(world, seconds=30))
    remind_hold(run_id=run.pk, actor=world.alice, now=acts.after(world, seconds=61))
    with pytest.raises(RemindedAlready):
        remind_hold(run_id=run.pk, actor=world.alice, now=acts.after(world, seconds=90))
    assert told(world.bob) == 2


def test_others_remind_nobody(world, run):
    for other in (world.bob, world.charlie, world.admin):
        with pytest.raises(NotFound):
            remind_hold(run_id=run.pk, actor=other, now=acts.after(world, seconds=61))


def test_what_is_decided_needs_no_reminder(world, run):
    later = acts.after(world, seconds=61)
    decide_hold(run_id=run.pk, actor=world.bob, allow=False, now=later)
    with pytest.raises(AlreadyDecided):
        remind_hold(run_id=run.pk, actor=world.alice, now=later)
