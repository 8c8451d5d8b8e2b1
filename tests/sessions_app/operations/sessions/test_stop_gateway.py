"""Gateways that are gone."""

from sessions_app.models import GatewayNode, Session
from sessions_app.operations.sessions.stop_gateway import stop_gateway, stop_lost_gateways
from tests.support.world.acts import after, events, fresh, session, use


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


def test_a_gateway_is_lost_after_its_lease_and_a_margin_and_not_before(world):
    opened = open_at(world, "gateway-1")
    assert stop_lost_gateways(now=after(world, seconds=12)) == 0
    assert stop_lost_gateways(now=after(world, seconds=12.5)) == 1
    assert fresh(opened).close_reason == "gateway lost"
    assert stop_lost_gateways(now=after(world, seconds=60)) == 0
