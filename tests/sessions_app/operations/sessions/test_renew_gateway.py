"""Gateways that say that they are there."""

from sessions_app.models import GatewayNode
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support.world.acts import after, at_once


def test_a_gateway_has_one_row_however_often_it_comes(world):
    first = renew_gateway(name="gateway-1", version="1", now=world.now)
    again = renew_gateway(name="gateway-1", version="2", now=after(world, seconds=3))
    node = GatewayNode.objects.get()
    assert first == again == node.pk
    assert (node.version, node.started_at, node.seen_at) == ("2", world.now, after(world, seconds=3))


def test_a_gateway_that_was_stopped_is_there_again(world):
    renew_gateway(name="gateway-1", version="1", now=world.now)
    GatewayNode.objects.update(stopped_at=world.now)
    renew_gateway(name="gateway-1", version="1", now=world.now)
    assert GatewayNode.objects.get().stopped_at is None


def test_a_gateway_that_comes_twice_at_once_has_one_row(live_world):
    results = at_once(*[lambda: renew_gateway(name="gateway-1", version="1", now=live_world.now)] * 3)
    assert len(set(results)) == 1
