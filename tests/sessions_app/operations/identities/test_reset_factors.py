"""Taking the factors of somebody away who lost them."""

import pytest
from allauth.mfa.models import Authenticator

from accounts.factors import factors_of
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from sessions_app.models import Notice
from sessions_app.operations.identities.reset_factors import NoFactor, reset_factors
from tests.support.world.acts import events, fresh, intact, last
from tests.support.world.factors import give_app
from tests.support.world.world import SETUP


def reset(world, who, actor, reason: str = "lost phone"):
    return reset_factors(identity_id=who.pk, reason=reason, actor=actor, now=world.now)


def test_an_administrator_takes_them_all_away_and_every_sign_in_ends(world):
    give_app(world.alice, world.now)
    before = world.alice.get_session_auth_hash()
    reset(world, world.alice, world.admin)
    assert not Authenticator.objects.exists()
    assert fresh(world.alice).get_session_auth_hash() != before
    entry = last("identity.factors_reset", "alice")
    assert (entry.actor, entry.data) == (
        "admin",
        {"factors": ["recovery_codes", "totp"], "reason": "lost phone"},
    )
    assert "lost phone" in Notice.objects.get(identity=world.alice, event="identity.factors_reset").body
    assert intact()


def test_the_shell_of_the_server_may_do_it_to_anybody(world):
    give_app(world.admin, world.now)
    reset(world, world.admin, SETUP)
    assert not factors_of(world.admin).any
    assert last("identity.factors_reset", "admin").actor == "system:test"


def test_nobody_else_does_it_nor_to_oneself_nor_without_a_reason(world):
    for person in (world.alice, world.admin):
        give_app(person, world.now)
    for who, actor, reason, error in (
        (world.alice, world.bob, "x", Forbidden),
        (world.alice, world.alice, "x", Forbidden),
        (world.admin, world.admin, "x", InvalidInput),
        (world.alice, world.admin, " ", InvalidInput),
        (world.alice, world.admin, "x" * 201, InvalidInput),
        (world.robot, world.admin, "x", Forbidden),
        (world.bob, world.admin, "x", NoFactor),
    ):
        with pytest.raises(error):
            reset(world, who, actor, reason)
    with pytest.raises(NotFound):
        reset_factors(identity_id=0, reason="x", actor=world.admin, now=world.now)
    assert factors_of(world.alice).app
    assert factors_of(world.admin).app
    assert "identity.factors_reset" not in events()
