"""A holder starts a command on the page of a grant."""

import datetime as dt

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import CommandOrder
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.order_command import (
    AT_ONCE,
    LAPSES,
    LineRefused,
    TooManyOrders,
    order_command,
)
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support.world import acts

RESTART, LOG = 0, 1


@pytest.fixture
def grant(world):
    return world.grant()


def order(grant, actor, now, *, target="web-1", index=LOG, values=None):
    return order_command(
        grant_id=grant.pk,
        actor=actor,
        target=target,
        index=index,
        client_address="192.0.2.9",
        now=now,
        values={"lines": "20"} if values is None else values,
    )


def test_the_line_is_built_with_the_values_and_the_grants_own(world, grant, now):
    asked = order(grant, world.alice, now)
    assert (asked.line, asked.target.name, asked.client_address) == (
        "echo log nginx 20",
        "web-1",
        "192.0.2.9",
    )
    assert asked.lapses_at == now + LAPSES
    entry = acts.last("command.ordered", grant.ref)
    assert entry.data["line"] == "echo log nginx 20"
    assert entry.actor == "alice"


def test_only_the_holder_may(world, grant, now):
    for other in (world.bob, world.charlie, world.admin, world.robot):
        with pytest.raises(NotFound):
            order(grant, other, now)
    assert not CommandOrder.objects.exists()


def test_nobody_starts_a_machines_commands_but_the_machine(world, now):
    grant = world.decide(world.request(world.robot)).grant
    acts.awake(now)
    provision_grant(grant_id=grant.pk, now=now)
    with pytest.raises(NotFound):
        order(grant, world.alice, now)
    assert order(grant, world.robot, now).asked_by == world.robot


def test_a_grant_that_is_over_runs_nothing(world, grant, now):
    stop_grant(grant_id=grant.pk, actor=world.alice, now=now)
    with pytest.raises(GrantIsOver):
        order(grant, world.alice, now)


def test_a_target_outside_the_grant_is_refused(world, now):
    grant = world.grant(targets=("web-1",))
    with pytest.raises(InvalidInput, match="does not cover"):
        order(grant, world.alice, now, target="web-2")


def test_a_value_outside_its_limits_is_refused_and_goes_to_the_log(world, grant, now):
    with pytest.raises(LineRefused, match="lines"):
        order(grant, world.alice, now, values={"lines": "5000"})
    assert CommandOrder.objects.get().line == "echo log nginx 5000"


def test_a_value_can_not_become_another_word(world, grant, now):
    with pytest.raises(LineRefused) as refused:
        order(grant, world.alice, now, values={"lines": "1; id"})
    assert set(refused.value.fields) == {"lines"}
    assert CommandOrder.objects.get().line == "echo log nginx '1; id'"


@pytest.mark.parametrize("values", [{}, {"lines": "1\n2"}, {"lines": "1\0"}])
def test_what_is_no_line_at_all_is_not_ordered(world, grant, now, values):
    with pytest.raises(InvalidInput):
        order(grant, world.alice, now, values=values)
    assert not CommandOrder.objects.exists()


def test_no_more_run_at_once_than_over_ssh(world, grant, now):
    for _ in range(AT_ONCE):
        order(grant, world.alice, now)
    with pytest.raises(TooManyOrders):
        order(grant, world.alice, now)
    assert order(grant, world.alice, now + LAPSES).pk


def test_an_order_is_claimed_once_and_not_after_it_has_lapsed(world, grant, now):
    node = renew_gateway(name="gateway-1", version="1", now=now).id
    first, second = order(grant, world.alice, now), order(grant, world.alice, now)
    claimed = claim_order(order_id=first.pk, gateway_id=node, now=now)
    assert (claimed.line, claimed.use.grant_ref) == (first.line, grant.ref)
    assert claim_order(order_id=first.pk, gateway_id=node, now=now) is None
    assert claim_order(order_id=second.pk, gateway_id=node, now=now + dt.timedelta(seconds=31)) is None


def test_what_was_claimed_after_the_end_can_use_nothing(world, grant, now):
    node = renew_gateway(name="gateway-1", version="1", now=now).id
    asked = order(grant, world.alice, now)
    stop_grant(grant_id=grant.pk, actor=world.alice, now=now)
    assert claim_order(order_id=asked.pk, gateway_id=node, now=now).use is None


def test_a_tried_line_answers_its_order(world, grant, now):
    asked = order(grant, world.alice, now, index=RESTART, values={})
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), asked.line, order_id=asked.pk, now=now)
    assert acts.fresh(asked).run_id == tried.run_id


def test_a_line_that_can_not_be_stored_whole_is_not_ordered(world, grant, now):
    with pytest.raises(InvalidInput, match="longer than 8000 characters") as refused:
        order(grant, world.alice, now, values={"lines": "2" * 8000})
    assert set(refused.value.fields) == {"lines"}
    assert not CommandOrder.objects.exists()


def test_a_command_that_is_not_in_the_grant_is_not_ordered(world, now):
    grant = world.grant()
    with pytest.raises(InvalidInput):
        order(grant, world.alice, now, index=99, values={})
