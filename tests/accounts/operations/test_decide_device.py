"""Letting a program in, or refusing it."""

import pytest

from accounts.models import APIToken
from accounts.operations.decide_device import decide_device
from accounts.operations.find_device import UnknownCode
from broker.kernel.errors import Forbidden
from tests.accounts.operations.test_start_device import start
from tests.support.world.acts import events, last


def decide(world, codes, who=None, *, allow=True):
    return decide_device(
        user_code=codes.user_code,
        allow=allow,
        identity=who or world.alice,
        address="192.0.2.7",
        now=world.now,
    )


def test_a_yes_is_recorded_with_what_it_is_for_and_makes_no_token_yet(world):
    decide(world, start(world, scopes=["read"]))
    entry = last("identity.device_authorized", "alice")
    assert (entry.actor, entry.data) == (
        "alice",
        {"client": "stint-cli", "scopes": ["read"], "from": "192.0.2.7"},
    )
    assert not APIToken.objects.exists()


def test_a_no_is_recorded_too(world):
    assert decide(world, start(world), allow=False).state == "denied"
    assert "identity.device_denied" in events("alice")


def test_a_program_is_decided_about_once(world):
    codes = start(world)
    decide(world, codes, allow=False)
    for who in (world.alice, world.bob):
        with pytest.raises(UnknownCode):
            decide(world, codes, who)
    codes.row.refresh_from_db()
    assert (codes.row.state, codes.row.identity) == ("denied", world.alice)


def test_a_machine_lets_nobody_in(world):
    codes = start(world)
    with pytest.raises(Forbidden):
        decide(world, codes, world.robot)
    codes.row.refresh_from_db()
    assert codes.row.state == "pending"
