"""Passkeys on the pages, with the wire of a browser; a real one is in tests/journeys/test_passkeys.py."""

import pytest
from django.test import Client

from accounts.factors import factors_of
from accounts.models import Identity
from broker.kernel import clock
from tests.sessions_app.web.identities.test_factors import age
from tests.support.world.acts import last
from tests.support.world.factors import codes_on, sign_in
from tests.support.world.passkeys import ORIGIN, Device, give_passkey
from tests.support.world.reading import answered, read, says

ASK, ALONE, STEP, ADD = (
    "/sign-in/passkey/ask/",
    "/sign-in/passkey/",
    "/sign-in/second-step/",
    "/account/factors/passkey/",
)


@pytest.fixture(autouse=True)
def at_a_name(world, settings):
    settings.PUBLIC_URL = ORIGIN


@pytest.fixture
def device(world) -> Device:
    return give_passkey(world.alice, clock.now())


def show(client: Client, device: Device, there: str, **more: str):
    return client.post(there, {"passkey": device.show(client.post(ASK).json()), **more})


def test_a_passkey_alone_signs_in_and_leads_to_where_one_was_going(client, device, world):
    assert "Sign in with a passkey" in read(client, "/sign-in/")
    assert show(client, device, ALONE, next="/requests/")["Location"] == "/requests/"
    assert client.get("/").status_code == 200
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1", "factor": "webauthn"}


def test_it_is_the_second_step_after_the_password(client, device):
    assert sign_in(client)["Location"] == STEP
    assert "Use a passkey" in read(client, STEP)
    assert show(client, device, STEP)["Location"] == "/"
    assert client.get("/").status_code == 200


def test_one_that_does_not_make_sure_of_the_person_is_a_second_step_and_no_more(client, world):
    key = give_passkey(world.alice, clock.now(), verifies=False)
    assert show(client, key, ALONE).status_code == 400
    sign_in(client)
    # Asked for a second step, it says who it is, and that is not taken for a whole sign-in.
    assert show(client, key, ALONE).status_code == 400
    assert client.get("/").status_code == 302
    assert show(client, key, STEP)["Location"] == "/"


def test_a_question_is_answered_once_and_only_in_the_browser_that_asked(client, device):
    answer = device.show(client.post(ASK).json())
    assert Client().post(ALONE, {"passkey": answer}).status_code == 400
    assert client.post(ALONE, {"passkey": "{}"}).status_code == 400
    assert client.post(ALONE, {"passkey": answer}).status_code == 400
    assert show(client, device, ALONE).status_code == 302


def test_a_question_is_good_for_some_minutes(client, device):
    asked = client.post(ASK).json()
    session = client.session
    session["stint.passkey"] = {**session["stint.passkey"], "at": clock.now().timestamp() - 301}
    session.save()
    assert "The passkey was not accepted" in answered(
        client.post(ALONE, {"passkey": device.show(asked)}), 400
    )


def test_a_disabled_person_does_not_get_in_by_it(client, device, world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert show(client, device, ALONE)["Location"] == "/sign-in/disabled/"
    assert client.get("/").status_code == 302
    assert last("identity.sign_in_failed", "alice").data["reason"] == "the identity is disabled"


def test_it_needs_the_token_of_our_form():
    client = Client(enforce_csrf_checks=True)
    for url in (ASK, ALONE):
        assert client.post(url).status_code == 403


def test_one_is_added_with_a_name_and_removed(client, world):
    sign_in(client)
    device = Device()
    asked = client.post(f"{ADD}ask/").json()
    done = client.post(ADD, {"passkey": device.make(asked), "name": "Laptop"}).content.decode()
    assert len(codes_on(done)) == 10
    says(read(client, "/account/"), "Laptop", "never used")
    (added,) = factors_of(world.alice).passkeys
    other = Client()
    assert show(other, device, ALONE).status_code == 302
    assert "used" in read(client, "/account/")
    assert client.post(f"/account/factors/{added.pk}/remove/")["Location"] == "/account/"
    assert last("identity.factor_removed", "alice").data == {"factor": "webauthn", "name": "Laptop"}
    assert other.get("/").status_code == 302
    assert show(Client(), device, ALONE).status_code == 400


def test_a_passkey_shows_again_who_one_is(client, device, world):
    show(client, device, ALONE)
    age(client)
    assert "Continue with a passkey" in read(client, ADD)
    assert client.post(f"{ADD}ask/").status_code == 403
    assert show(client, device, "/account/confirm/", next=ADD)["Location"] == ADD
    assert client.post(f"{ADD}ask/").status_code == 200
