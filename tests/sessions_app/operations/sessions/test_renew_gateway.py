"""Gateways that say that they are there, and are told what changed."""

from sessions_app.models import GatewayNode, Session
from sessions_app.operations.sessions.renew_gateway import OpenAtGateway, renew_gateway
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import retire_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import SSH_HOST_KEY
from tests.support.world.acts import after, at_once, session, use
from tests.support.world.world import SETUP


def test_a_gateway_has_one_row_however_often_it_comes(world):
    first = renew_gateway(name="gateway-1", version="1", now=world.now).id
    again = renew_gateway(name="gateway-1", version="2", now=after(world, seconds=3)).id
    node = GatewayNode.objects.get()
    assert first == again == node.pk
    assert (node.version, node.started_at, node.seen_at) == ("2", world.now, after(world, seconds=3))


def test_a_gateway_that_was_stopped_is_there_again(world):
    renew_gateway(name="gateway-1", version="1", now=world.now)
    GatewayNode.objects.update(stopped_at=world.now)
    renew_gateway(name="gateway-1", version="1", now=world.now)
    assert GatewayNode.objects.get().stopped_at is None


def test_a_gateway_that_comes_twice_at_once_has_one_row(live_world):
    results = at_once(*[lambda: renew_gateway(name="gateway-1", version="1", now=live_world.now).id] * 3)
    assert len(set(results)) == 1


def test_gateways_learn_how_many_of_them_there_are(world):
    counts = [
        renew_gateway(name=name, version="1", now=after(world, seconds=at)).gateways
        for name, at in (("one", 0), ("two", 1), ("one", 2), ("one", 5))
    ]
    assert counts == [1, 2, 2, 1]


def test_a_gateway_learns_what_is_open_at_it_by_the_rows(world):
    number = session(use(world.grant(), now=world.now), now=world.now)
    opened = Session.objects.get(pk=number)
    renewed = renew_gateway(name=opened.gateway.name, version="1", now=world.now)
    assert renewed.open == [OpenAtGateway(opened.pk, opened.grant_id, opened.proof)]
    assert renew_gateway(name="another", version="1", now=world.now).open == []


def test_a_gateway_learns_that_a_shared_key_has_changed(world):
    def keys():
        return renew_gateway(name="one", version="1", now=world.now).keys

    old = ensure_authority(SSH_HOST_KEY, now=world.now)
    seen = [keys()]
    for change in (
        lambda: prepare_authority(SSH_HOST_KEY, actor=SETUP, now=world.now),
        lambda: rotate_authority(SSH_HOST_KEY, actor=SETUP, now=world.now),
        lambda: retire_authority(SSH_HOST_KEY, fingerprint=old.fingerprint, actor=SETUP, now=world.now),
    ):
        change()
        seen.append(keys())
    assert len(set(seen)) == 4
    assert keys() == seen[-1]
