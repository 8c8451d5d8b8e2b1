"""Proving oneself by a passkey."""

import json

import pytest

from accounts.factors import factors_of
from accounts.models import Identity
from accounts.passkeys import BadPasskey, ask_to_show
from sessions_app.operations.identities.prove_passkey import prove_passkey
from tests.support.world.acts import events, last
from tests.support.world.passkeys import ORIGIN, Device, give_passkey


@pytest.fixture(autouse=True)
def at_a_name(settings):
    settings.PUBLIC_URL = ORIGIN


@pytest.fixture
def device(world) -> Device:
    return give_passkey(world.alice, world.now)


def prove(world, device: Device, who: Identity | None = None, *, asked_of: Identity | None = None):
    """By somebody's passkey as a second step, or, without a person, by it alone."""
    asked, state = ask_to_show(asked_of or who)
    return prove_passkey(
        identity_id=who.pk if who else None,
        answer=device.show(asked["publicKey"]),
        state=state,
        address="192.0.2.7",
        now=world.now,
    )


def test_it_is_taken_as_a_second_step_and_alone_and_when_is_noted(world, device):
    assert prove(world, device, world.alice).user_id == world.alice.pk
    assert prove(world, device).user_id == world.alice.pk
    assert factors_of(world.alice).passkeys[0].last_used_at == world.now


def test_alone_it_has_to_have_made_sure_of_the_person(world):
    key = give_passkey(world.alice, world.now, verifies=False)
    assert prove(world, key, world.alice)
    for asked_of in (None, world.alice):
        with pytest.raises(BadPasskey):
            prove(world, key, asked_of=asked_of)


def test_the_passkey_of_somebody_else_proves_nothing(world, device):
    give_passkey(world.bob, world.now)
    with pytest.raises(BadPasskey):
        prove(world, device, world.bob)
    entry = last("identity.sign_in_failed", "bob")
    assert entry.data == {"name": "bob", "from": "192.0.2.7", "reason": "the passkey is wrong"}
    device.user = give_passkey(world.admin, world.now).user
    with pytest.raises(BadPasskey):
        prove(world, device)
    assert last("identity.sign_in_failed", "admin")


@pytest.mark.parametrize("user", ["", "eA", "OTk5OTk5", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_a_name_in_it_that_is_nobodys_is_refused_without_an_entry(world, device, user):
    device.user = user
    with pytest.raises(BadPasskey):
        prove(world, device)
    assert "identity.sign_in_failed" not in events()


def test_a_machine_has_none(world, device):
    from allauth.mfa.models import Authenticator

    Authenticator.objects.filter(type="webauthn").update(user=world.robot)
    with pytest.raises(BadPasskey):
        prove(world, device, world.robot)


@pytest.mark.parametrize(("name", "value"), [("origin", "https://evil.example"), ("host", "evil.example")])
def test_what_was_shown_elsewhere_is_worth_nothing(world, device, name, value):
    setattr(device, name, value)
    with pytest.raises(BadPasskey):
        prove(world, device, world.alice)


def test_an_answer_to_another_question_or_to_none_is_refused(world, device):
    asked, _ = ask_to_show(world.alice)
    answer = device.show(asked["publicKey"])
    for state in (ask_to_show(world.alice)[1], None):
        with pytest.raises(BadPasskey):
            prove_passkey(identity_id=world.alice.pk, answer=answer, state=state, address="", now=world.now)


def test_a_counter_that_stands_still_shows_a_copy(world):
    device = give_passkey(world.alice, world.now, counter=5)
    assert prove(world, device, world.alice)
    device.counter = 5
    with pytest.raises(BadPasskey):
        prove(world, device, world.alice)
    device.counter = 6
    assert prove(world, device, world.alice)


def test_where_the_provider_signs_people_in_no_passkey_alone_does_but_an_administrators(
    world, device, settings
):
    theirs = give_passkey(world.admin, world.now)
    settings.PASSWORD_SIGN_IN = False
    assert prove(world, theirs)
    with pytest.raises(BadPasskey):
        prove(world, device)


def test_rubbish_is_refused_as_such(world, device):
    asked, state = ask_to_show(world.alice)
    good = json.loads(device.show(asked["publicKey"]))
    parts = [
        {**good, "response": {**good["response"], name: value}}
        for name in ("clientDataJSON", "authenticatorData", "signature")
        for value in (None, 7, "", "AAAA", "é", [], {})
    ]
    parts += [{**good, name: value} for name in ("rawId", "response") for value in (None, 7, "", [], {})]
    for answer in ["", "{", "[]", "null", "7", "[" * 30_000, *map(json.dumps, parts)]:
        for person in (world.alice.pk, None):
            with pytest.raises(BadPasskey):
                prove_passkey(identity_id=person, answer=answer, state=state, address="", now=world.now)
