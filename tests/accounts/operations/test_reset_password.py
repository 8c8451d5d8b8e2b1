"""A password from the shell of the server."""

import pytest

from accounts.operations.reset_password import reset_password
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from tests.support.world.acts import events, last
from tests.support.world.world import SETUP

NEW = "another horse, another battery"


def test_it_needs_no_current_one_and_is_recorded(world):
    reset_password(identity_id=world.alice.pk, new=NEW, actor=SETUP, now=world.now)
    world.alice.refresh_from_db()
    assert world.alice.check_password(NEW)
    assert last("identity.password_changed", "alice").actor == "system:test"


def test_a_poor_one_a_machine_and_nobody_are_refused(world):
    for pk, new, error in (
        (world.alice.pk, "short", InvalidInput),
        (world.robot.pk, NEW, Forbidden),
        (0, NEW, NotFound),
    ):
        with pytest.raises(error):
            reset_password(identity_id=pk, new=new, actor=SETUP, now=world.now)
    assert "identity.password_changed" not in events()
