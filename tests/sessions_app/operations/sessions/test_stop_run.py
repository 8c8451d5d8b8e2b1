"""Someone ends one running command, while its grant continues."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, GrantState
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.stop_run import NothingToStop, stop_run
from sessions_app.queries.gateways.stops import stops_of
from tests.support.world import acts


@pytest.fixture
def run(world, now):
    used = acts.use(world.grant(), now=now)
    return CommandRun.objects.get(pk=acts.run(used, acts.session(used, now=now), now=now).run_id)


def test_its_gateway_is_asked_once_and_the_record_has_who(world, run, now):
    for _ in range(2):
        stop_run(run_id=run.pk, actor=world.bob, now=now)
    assert stops_of([run.pk]) == [(run.pk, "Bob")]
    assert acts.events(run.grant.ref).count("command.stopped") == 1
    entry = acts.last("command.stopped", run.grant.ref)
    assert (entry.actor, entry.data["run"], entry.data["target"]) == ("bob", run.pk, "web-1")
    run.grant.refresh_from_db()
    assert run.grant.state == GrantState.ACTIVE


def test_only_who_may_end_the_grant_ends_a_command_of_it(world, run, now):
    with pytest.raises(NotFound):
        stop_run(run_id=run.pk, actor=world.charlie, now=now)
    stop_run(run_id=run.pk, actor=world.alice, now=now)


def test_what_is_over_is_not_ended(world, run, now):
    finish_run(run_id=run.pk, state="done", exit_status=0, now=now)
    with pytest.raises(NothingToStop):
        stop_run(run_id=run.pk, actor=world.bob, now=now)
