"""A held command waits by one definition, as a condition and as a predicate."""

import datetime as dt
from itertools import product

import pytest

from sessions_app.models import CommandRun, EndReason, Grant, RunState
from sessions_app.models.session import may_yet_run
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sessions.remind_hold import remind_hold
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.grants.current import hold_of
from sessions_app.queries.notifications.notices import unread_of
from sessions_app.queries.requests.deciders import holds_for
from tests.support.world import acts

STOP = "echo stop nginx"


@pytest.fixture
def grant(world) -> Grant:
    return world.grant()


@pytest.fixture
def held(grant, now) -> CommandRun:
    used = acts.use(grant, now=now)
    return CommandRun.objects.get(pk=acts.run(used, acts.session(used, now=now), STOP, now=now).run_id)


def over(grant) -> None:
    """Begin the end of a grant; no target has answered yet, and nothing was cut."""
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=grant.starts_at)


@pytest.mark.parametrize("ended", [False, True])
def test_the_rows_and_each_row_agree(world, grant, held, now, ended):
    if ended:
        over(grant)
    second = dt.timedelta(seconds=1)
    for state, decided, lapses in product(RunState, (None, now), (None, now - second, now, now + second)):
        CommandRun.objects.filter(pk=held.pk).update(state=state, decided_at=decided, hold_lapses_at=lapses)
        run = CommandRun.objects.select_related("grant").get(pk=held.pk)
        lives = state == RunState.HELD and lapses == now + second and not ended
        assert run.may_yet_run(now) is CommandRun.objects.filter(may_yet_run(now)).exists() is lives
        assert run.waits(now) is CommandRun.objects.waiting(now).exists() is (lives and decided is None)
        assert CommandRun.objects.allowed_once(now).exists() is (lives and decided is not None)
        assert holds_for(world.bob, now).exists() is run.waits(now)
        assert unread_of(world.bob, now).filter(run=run).exists() is run.waits(now)
        assert (hold_of(run.pk, now).state == "held") is run.waits(now)


def test_nothing_of_a_grant_that_is_ending_waits(world, grant, held, now):
    over(grant)
    for verb in (withdraw_hold, remind_hold):
        with pytest.raises(AlreadyDecided):
            verb(run_id=held.pk, actor=world.alice, now=now)


def test_an_allowance_that_nobody_took_in_time_has_lapsed(world, held, now):
    CommandRun.objects.filter(pk=held.pk).update(decided_at=now, decided_by=world.bob)
    assert [hold_of(held.pk, at).state for at in (now, held.hold_lapses_at)] == ["allowed", "lapsed"]
