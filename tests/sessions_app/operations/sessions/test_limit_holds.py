"""One person can't fill the approvers' list with held commands."""

import pytest

from sessions_app.models import CommandRun, GrantState, RunState
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from tests.support.world.acts import after, change, fresh, last, policy, try_to_hold, vary_holds


@pytest.fixture(autouse=True)
def many(world):
    vary_holds(world)


def test_one_too_many_of_a_grant_is_not_made_and_says_what_to_do(world, settings):
    settings.WAITING_COMMANDS_PER_GRANT = 2
    change(world, policy(world, deviations={"limit": 1}))
    grant = world.grant()
    first, _, refused = try_to_hold(world, grant, 1, 2, 3)
    assert (refused.verdict, refused.decision.code) == ("refused", "too_many_waiting")
    assert "Withdraw one, or wait" in refused.message
    made = CommandRun.objects.get(pk=refused.run_id)
    assert (made.state, made.ended_at) == (RunState.FAILED, world.now)
    assert last("command.refused", grant.ref).data["code"] == "too_many_waiting"
    # It is no deviation.
    assert (fresh(grant).state, grant.held_at) == (GrantState.ACTIVE, None)
    withdraw_hold(run_id=first.run_id, actor=world.alice, now=world.now)
    assert try_to_hold(world, grant, 1)[0].verdict == "held"


def test_all_grants_of_a_person_and_their_machines_share_a_limit_until_commands_lapse(world, settings):
    settings.WAITING_COMMANDS_PER_PERSON = 2
    own, machines = world.grant(), world.grant(who=world.robot)
    assert try_to_hold(world, own, 1)[0].verdict == try_to_hold(world, machines, 1)[0].verdict == "held"
    assert "from you and your machines" in try_to_hold(world, own, 2)[0].message
    assert try_to_hold(world, own, 2, now=after(world, minutes=6))[0].verdict == "held"


def test_ordinary_commands_that_wait_block_none_for_an_incident(world, settings):
    settings.WAITING_COMMANDS_PER_PERSON = 1
    try_to_hold(world, world.grant(), 1)
    (urgent,) = try_to_hold(world, world.respond(world.incident()), 1)
    assert urgent.verdict == "held"
