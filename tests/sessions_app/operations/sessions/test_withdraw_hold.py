"""A holder takes a held command back."""

from importlib import import_module

import pytest
from django.db import connection

from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.grants.current import hold_of
from sessions_app.queries.grants.receipts import receipt
from tests.support.world import acts


@pytest.fixture
def run(world, now):
    used = acts.use(world.grant(), now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    return CommandRun.objects.get(pk=tried.run_id)


def test_nobody_can_allow_it_any_more(world, run, now):
    withdraw_hold(run_id=run.pk, actor=world.alice, now=now)
    run.refresh_from_db()
    assert (run.state, run.reason, run.ended_at) == ("withdrawn", "Alice withdrew it", now)
    with pytest.raises(AlreadyDecided):
        decide_hold(run_id=run.pk, actor=world.bob, allow=True, now=now)
    assert acts.last("command.hold_decided", run.grant.ref).data["withdrawn"] is True


def test_whoever_waits_for_it_is_told(world, run, now):
    withdraw_hold(run_id=run.pk, actor=world.alice, now=now)
    assert hold_of(run.pk, now).message == "Withdrawn by the holder."


def test_only_its_holder_may(world, run, now):
    for other in (world.bob, world.charlie, world.admin):
        with pytest.raises(NotFound):
            withdraw_hold(run_id=run.pk, actor=other, now=now)


def test_one_that_is_decided_or_withdrawn_stays(world, run, now):
    withdraw_hold(run_id=run.pk, actor=world.alice, now=now)
    with pytest.raises(AlreadyDecided):
        withdraw_hold(run_id=run.pk, actor=world.alice, now=now)


def test_one_that_has_lapsed_stays(world, run):
    with pytest.raises(AlreadyDecided):
        withdraw_hold(run_id=run.pk, actor=world.alice, now=run.hold_lapses_at)


def test_it_counts_neither_as_used_nor_as_refused(world, run, now):
    withdraw_hold(run_id=run.pk, actor=world.alice, now=now)
    told = receipt(run.grant, now)
    assert (told["compared"]["refused_times"], {row["times"] for row in told["compared"]["commands"]}) == (
        0,
        {0},
    )
    assert (told["run"], [row["state"] for row in told["refused"]]) == ([], ["withdrawn"])


def test_those_that_were_withdrawn_before_there_was_a_state_for_it_get_it(run, now):
    CommandRun.objects.update(state="cut", ended_at=now, reason="withdrawn by its holder")
    with connection.cursor() as cursor:
        cursor.execute(import_module("sessions_app.migrations.0011_run_states").CARRY_OVER)
    run.refresh_from_db()
    assert run.state == "withdrawn"
