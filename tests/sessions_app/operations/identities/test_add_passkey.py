"""Adding a passkey."""

import json

import pytest
from allauth.mfa.models import Authenticator

from accounts.factors import factors_of
from accounts.passkeys import BadPasskey, ask_to_add
from broker.kernel.errors import Forbidden, InvalidInput
from sessions_app.models import Notice
from sessions_app.operations.identities.add_passkey import MOST, TooManyPasskeys, add_passkey
from tests.support.world.acts import events, fresh, intact, last
from tests.support.world.passkeys import ORIGIN, Device, give_passkey


@pytest.fixture(autouse=True)
def at_a_name(settings):
    settings.PUBLIC_URL = ORIGIN


def add(world, device: Device, who=None, name: str = "Laptop", change=lambda answer, state: (answer, state)):
    who = who or world.alice
    asked, state = ask_to_add(who)
    answer, state = change(device.make(asked["publicKey"]), state)
    return add_passkey(answer=answer, state=state, name=name, actor=who, now=world.now)


def test_a_passkey_is_added_with_its_name_recorded_and_told_with_the_first_recovery_codes(world):
    before = world.alice.get_session_auth_hash()
    made, codes = add(world, Device(), name=" Laptop ")
    assert (made.type, made.data["name"], len(codes)) == ("webauthn", "Laptop", 10)
    assert last("identity.factor_added", "alice").data == {"factor": "webauthn", "name": "Laptop"}
    assert Notice.objects.get().subject == "The passkey “Laptop” was added to your account"
    assert fresh(world.alice).get_session_auth_hash() != before
    assert add(world, Device(), name="Key ring")[1] == []
    assert [row.data["name"] for row in factors_of(world.alice).passkeys] == ["Laptop", "Key ring"]
    assert intact()


def test_one_that_is_there_is_named_so_that_no_device_makes_a_second(world):
    give_passkey(world.alice, world.now)
    assert len(ask_to_add(world.alice)[0]["publicKey"]["excludeCredentials"]) == 1
    assert not ask_to_add(world.bob)[0]["publicKey"]["excludeCredentials"]


@pytest.mark.parametrize(
    "device",
    [
        Device(origin="http://localhost:8001"),
        Device(origin="http://evil.localhost:8000"),
        Device(origin="https://localhost:8000"),
        Device(host="evil.example"),
    ],
)
def test_one_that_was_made_elsewhere_is_refused(world, device):
    with pytest.raises(BadPasskey):
        add(world, device)
    assert "identity.factor_added" not in events()


def test_an_answer_to_another_question_or_to_none_is_refused(world):
    def other(answer, _):
        return answer, ask_to_add(world.alice)[1]

    def nothing(answer, _):
        return answer, None

    for change in (other, nothing):
        with pytest.raises(BadPasskey):
            add(world, Device(), change=change)
    assert not Authenticator.objects.exists()


def test_a_key_that_nothing_could_be_checked_by_is_refused(world):
    with pytest.raises(BadPasskey):
        add(world, Device(algorithm=-999))


def broken() -> list[str]:
    good = json.loads(Device().make({"user": {"id": "MQ"}, "challenge": "AAAA"}))
    parts = [
        {**good, "response": {**good["response"], name: value}}
        for name in ("clientDataJSON", "attestationObject")
        for value in (None, 7, "", "AAAA", "é", [], {})
    ]
    parts += [
        {**good, name: value}
        for name in ("id", "rawId", "response", "type")
        for value in (None, 7, "", [], {})
    ]
    return ["", "{", "[]", "null", "7", "[" * 30_000, *map(json.dumps, parts)]


def test_rubbish_is_refused_as_such(world):
    for answer in broken():
        with pytest.raises(BadPasskey):
            add(world, Device(), change=lambda _, state, answer=answer: (answer, state))
    assert not Authenticator.objects.exists()


def test_it_needs_a_name_and_a_person_and_they_are_not_endless(world):
    for name in ("", " ", "x" * 61, "\0"):
        with pytest.raises(InvalidInput):
            add(world, Device(), name=name)
    with pytest.raises(Forbidden):
        add(world, Device(), world.robot)
    for _ in range(MOST):
        give_passkey(world.alice, world.now)
    with pytest.raises(TooManyPasskeys):
        add(world, Device())
