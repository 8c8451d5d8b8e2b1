"""New recovery codes."""

import pytest

from accounts.factors import factors_of
from broker.kernel.errors import Forbidden
from sessions_app.models import Notice
from sessions_app.operations.identities.prove_code import WrongCode, prove_code
from sessions_app.operations.identities.renew_codes import NothingToRecover, renew_codes
from tests.support.world.acts import last
from tests.support.world.factors import give_app


def test_new_ones_take_the_place_of_the_old_ones(world):
    old = give_app(world.alice, world.now)
    prove_code(identity_id=world.alice.pk, code=old[0], address="", now=world.now)
    new = renew_codes(actor=world.alice, now=world.now)
    assert not set(new) & set(old)
    assert factors_of(world.alice).codes_left == 10
    with pytest.raises(WrongCode):
        prove_code(identity_id=world.alice.pk, code=old[1], address="", now=world.now)
    assert prove_code(identity_id=world.alice.pk, code=new[9], address="", now=world.now)
    assert last("identity.recovery_renewed", "alice").data == {}
    assert Notice.objects.filter(identity=world.alice, event="identity.recovery_renewed").exists()


def test_without_a_factor_there_is_nothing_to_recover(world):
    with pytest.raises(NothingToRecover):
        renew_codes(actor=world.alice, now=world.now)
    with pytest.raises(Forbidden):
        renew_codes(actor=world.robot, now=world.now)
    assert factors_of(world.alice).codes_left == 0
