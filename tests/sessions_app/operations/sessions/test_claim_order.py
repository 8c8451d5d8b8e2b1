"""Two gateways, one order."""

from broker.kernel import clock
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.queries.gateways.orders import orders_to_claim
from tests.sessions_app.operations.test_kubernetes_grants import cluster, kube, started  # noqa: F401
from tests.support.world import acts


def test_of_gateways_that_claim_at_once_one_gets_it(live_world):
    now = clock.now()
    grant = live_world.grant()
    nodes = [renew_gateway(name=f"gateway-{number}", version="1", now=now).id for number in range(4)]
    asked = order_command(
        grant_id=grant.pk, actor=live_world.alice, target="web-1", index=0, values={}, now=now
    )
    claims = acts.at_once(
        *(lambda node=node: claim_order(order_id=asked.pk, gateway_id=node, now=now) for node in nodes)
    )
    assert sum(claim is not None for claim in claims) == 1
    assert acts.fresh(asked).claimed_by_id in nodes


def test_each_gateway_finds_the_orders_of_its_own_kind(kube, now):  # noqa: F811
    on_host = order_command(
        grant_id=kube.grant().pk, actor=kube.alice, target="web-1", index=0, values={}, now=now
    )
    on_cluster = order_command(
        grant_id=started(kube).pk, actor=kube.alice, target="prod-1", index=0, values={}, now=now
    )
    assert orders_to_claim("ssh", now) == [on_host.pk]
    assert orders_to_claim("kubernetes", now) == [on_cluster.pk]
    node = renew_gateway(name="one", version="1", now=now).id
    claimed = claim_order(order_id=on_cluster.pk, gateway_id=node, now=now)
    assert (claimed.line, claimed.use.target.name) == ("get pods -n web", "prod-1")
