"""Gateways that are gone."""

import pytest

from sessions_app.models import CommandRun, GatewayNode, RunState, Session
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.remind_hold import remind_hold
from sessions_app.operations.sessions.stop_gateway import stop_gateway, stop_lost_gateways
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from sessions_app.queries.grants.current import hold_of
from sessions_app.queries.notifications.notices import outcome_of, with_outcomes
from tests.support.world.acts import after, events, fresh, last, run, session, use


def open_at(world, name: str) -> Session:
    return Session.objects.get(pk=session(use(world.grant(), now=world.now), now=world.now, gateway=name))


def test_a_gateway_that_stops_closes_its_own_sessions_and_no_others(world):
    mine, theirs = open_at(world, "gateway-1"), open_at(world, "gateway-2")
    assert stop_gateway(name="gateway-1", now=world.now) == 1
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.closed_at, mine.close_reason) == (world.now, "gateway stopped")
    assert theirs.closed_at is None
    assert GatewayNode.objects.get(name="gateway-1").stopped_at == world.now
    assert "session.closed" in events(mine.grant.ref)


@pytest.mark.parametrize("allowed", [False, True])
def test_what_waits_at_a_lost_gateway_ends_and_everyone_is_told_why(world, allowed):
    used = use(world.grant(), now=world.now)
    held = run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    if allowed:
        decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=world.now)
    now = after(world, seconds=12.5)
    stop_lost_gateways(now=now)
    ended = CommandRun.objects.select_related("grant").get(pk=held.run_id)
    assert (ended.state, ended.reason) == (RunState.CUT, "gateway lost")
    assert hold_of(held.run_id, now).message == "The command was terminated: gateway lost."
    for act in (decide_hold, withdraw_hold, remind_hold):
        more = {"allow": True} if act is decide_hold else {}
        actor = world.bob if act is decide_hold else world.alice
        with pytest.raises(AlreadyDecided, match="no longer waiting: gateway lost"):
            act(run_id=held.run_id, actor=actor, now=now, **more)
    told = last("command.finished", ended.grant.ref)
    assert (told.data["state"], told.data["reason"]) == ("cut", "gateway lost")
    (notice,) = with_outcomes(world.bob.notices.filter(run=ended), world.bob, now)
    said = "Allowed once by Bob, then terminated" if allowed else "Terminated"
    assert outcome_of(notice, now) == f"{said}: gateway lost"


def test_a_gateway_is_lost_after_its_lease_and_a_margin_and_not_before(world):
    opened = open_at(world, "gateway-1")
    assert stop_lost_gateways(now=after(world, seconds=12)) == 0
    assert stop_lost_gateways(now=after(world, seconds=12.5)) == 1
    assert fresh(opened).close_reason == "gateway lost"
    assert stop_lost_gateways(now=after(world, seconds=60)) == 0
