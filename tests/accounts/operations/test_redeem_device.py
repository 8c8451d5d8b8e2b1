"""A program asks whether it was let in."""

import pytest
from django.db import transaction

from accounts.clients import UnknownClient
from accounts.models import APIToken, Identity
from accounts.operations.redeem_device import NoSuchCode, NotYet, Refused, TooFast, TooLate, redeem_device
from accounts.operations.reset_password import reset_password
from accounts.operations.set_password import set_password
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.operations.identities.reset_factors import reset_factors
from tests.accounts.operations.test_decide_device import decide
from tests.accounts.operations.test_start_device import start
from tests.support.world.acts import Started, after
from tests.support.world.factors import SECRET, give_app
from tests.support.world.world import PASSWORD, SETUP


def redeem(world, codes, *, at=0.0, client_id="stint-cli"):
    return redeem_device(device_code=codes.device_code, client_id=client_id, now=after(world, seconds=at))


def test_once_it_was_let_in_it_gets_one_token_of_that_person(world):
    codes = start(world, scopes=["read", "end"])
    with pytest.raises(NotYet):
        redeem(world, codes)
    decide(world, codes)
    token, text = redeem(world, codes, at=5)
    assert text.startswith("stint_")
    assert (token.identity, token.scopes, token.workflow) == (world.alice, ["end", "read"], "")
    assert token.expires_at == after(world, hours=12, seconds=5)
    with pytest.raises(NoSuchCode):
        redeem(world, codes, at=10)
    assert APIToken.objects.count() == 1


def test_who_asks_too_often_has_to_wait_longer_from_then_on(world):
    codes = start(world)
    with pytest.raises(NotYet):
        redeem(world, codes, at=0)
    with pytest.raises(TooFast):
        redeem(world, codes, at=4)
    with pytest.raises(TooFast):
        redeem(world, codes, at=4 + 9)
    with pytest.raises(NotYet):
        redeem(world, codes, at=13 + 15)


def test_a_no_a_late_and_an_unknown_code_each_have_their_answer(world):
    denied, late = start(world), start(world)
    decide(world, denied, allow=False)
    with pytest.raises(Refused):
        redeem(world, denied)
    with pytest.raises(TooLate):
        redeem(world, late, at=600)
    with pytest.raises(NoSuchCode):
        redeem_device(device_code="sdc_nothing", client_id="stint-cli", now=world.now)
    with pytest.raises(UnknownClient):
        redeem(world, late, client_id="another")
    assert not APIToken.objects.exists()


def disabled_and_enabled(world):
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)


NEW = "another horse, another battery"
ENDS = {
    "disabled and enabled": disabled_and_enabled,
    "own password": lambda world: set_password(
        identity_id=world.alice.pk,
        current=PASSWORD,
        new=NEW,
        actor=world.alice,
        address="192.0.2.7",
        now=world.now,
    ),
    "password reset": lambda world: reset_password(
        identity_id=world.alice.pk, new=NEW, actor=SETUP, now=world.now
    ),
    "factors reset": lambda world: reset_factors(
        identity_id=world.alice.pk, reason="lost phone", actor=world.admin, now=world.now
    ),
    "factor added": lambda world: give_app(world.alice, world.now, SECRET[::-1]),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_a_yes_of_a_sign_in_that_has_ended_since_opens_nothing(world, ends):
    if ends is ENDS["factors reset"]:
        give_app(world.alice, world.now)
    codes = start(world)
    decide(world, codes)
    ends(world)
    with pytest.raises(Refused):
        redeem(world, codes)
    # A yes of the next sign-in counts.
    world.alice.refresh_from_db()
    again = start(world)
    decide(world, again)
    assert redeem(world, again)[0].identity == world.alice


def test_a_yes_that_is_under_way_while_its_person_is_disabled_opens_nothing_afterwards(live_world):
    world = live_world
    codes, alice = start(world), Identity.objects.get(pk=world.alice.pk)
    with transaction.atomic():
        disable_identity(identity_id=alice.pk, actor=world.admin, now=world.now)
        decided = Started(lambda: decide(world, codes, alice))
        assert decided.result().state == "allowed"
    enable_identity(identity_id=alice.pk, actor=world.admin, now=world.now)
    with pytest.raises(Refused):
        redeem(world, codes)
