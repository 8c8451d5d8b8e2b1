"""An order that came to nothing says why, once."""

import pytest

from sessions_app.operations.sessions.fail_order import fail_order
from sessions_app.operations.sessions.order_command import order_command
from tests.support.world import acts


@pytest.fixture
def grant(world):
    return world.grant()


@pytest.fixture
def asked(world, grant, now):
    return order_command(grant_id=grant.pk, actor=world.alice, target="web-1", index=0, values={}, now=now)


def test_the_first_reason_stays(grant, asked, now):
    fail_order(order_id=asked.pk, error="It is over.", now=now)
    fail_order(order_id=asked.pk, error="Another.", now=now)
    assert acts.fresh(asked).error == "It is over."
    assert acts.last("command.finished", grant.ref).data["order"] == asked.pk
    assert acts.events(grant.ref).count("command.finished") == 1


def test_one_that_ran_did_not_fail(grant, asked, now):
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), asked.line, order_id=asked.pk, now=now)
    fail_order(order_id=asked.pk, error="Too late.", now=now)
    assert acts.fresh(asked).error == ""
