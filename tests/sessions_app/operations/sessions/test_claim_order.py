"""Two gateways, one order."""

from __future__ import annotations

from broker.kernel import clock
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support import acts


def test_of_gateways_that_claim_at_once_one_gets_it(live_world):
    now = clock.now()
    grant = live_world.grant()
    nodes = [renew_gateway(name=f"gateway-{number}", version="1", now=now) for number in range(4)]
    asked = order_command(
        grant_id=grant.pk, actor=live_world.alice, target="web-1", index=0, values={}, now=now
    )
    claims = acts.at_once(
        *(lambda node=node: claim_order(order_id=asked.pk, gateway_id=node, now=now) for node in nodes)
    )
    assert sum(claim is not None for claim in claims) == 1
    asked.refresh_from_db()
    assert asked.claimed_by_id in nodes
