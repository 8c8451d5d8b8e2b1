"""Passkeys on the pages, with the wire of a browser; a real one is in tests/journeys/test_passkeys.py."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.attempts import Secret, count_attempt
from accounts.factors import factors_of
from accounts.models import Identity
from broker.kernel import clock
from tests.sessions_app.web.identities.test_factors import age
from tests.support.world.acts import events, last
from tests.support.world.factors import codes_on, give_app, sign_in
from tests.support.world.passkeys import ORIGIN, Device, give_passkey

ASK, ALONE, STEP, ADD = (
    "/sign-in/passkey/ask/", "/sign-in/passkey/", "/sign-in/second-step/", "/account/factors/passkey/",
)  # fmt: skip


@pytest.fixture(autouse=True)
def at_a_name(world, settings):
    settings.PUBLIC_URL = ORIGIN


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def device(world) -> Device:
    return give_passkey(world.alice, clock.now())


def show(client: Client, device: Device, there: str, **more: str):
    return client.post(there, {"passkey": device.show(client.post(ASK).json()), **more})


def test_a_passkey_alone_signs_in_and_leads_to_where_one_was_going(client, device, world):
    assert "Sign in with a passkey" in client.get("/sign-in/").content.decode()
    assert show(client, device, ALONE, next="/requests/")["Location"] == "/requests/"
    assert client.get("/").status_code == 200
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1", "factor": "webauthn"}


def test_it_is_the_second_step_after_the_password(client, device):
    assert sign_in(client)["Location"] == STEP
    assert "Use a passkey" in client.get(STEP).content.decode()
    assert show(client, device, STEP)["Location"] == "/"
    assert client.get("/").status_code == 200


def test_guesses_at_passwords_and_codes_delay_no_passkey(client, device):
    sign_in(client)
    for secret in (Secret.PASSWORD, Secret.CODE):
        for _ in range(5):
            count_attempt(secret, account="alice", address="127.0.0.1", now=clock.now())
    assert show(client, device, STEP)["Location"] == "/"
    assert show(Client(), device, ALONE)["Location"] == "/"


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
    answer = client.post(ALONE, {"passkey": device.show(asked)})
    assert answer.status_code == 400
    assert "The passkey was not accepted" in answer.content.decode()


def test_a_disabled_person_does_not_get_in_by_it(client, device, world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert show(client, device, ALONE)["Location"] == "/sign-in/disabled/"
    assert client.get("/").status_code == 302
    assert last("identity.sign_in_failed", "alice").data["reason"] == "the identity is disabled"


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(client, device, there):
    assert show(client, device, ALONE, next=there)["Location"] == "/"


def test_it_needs_the_token_of_our_form():
    client = Client(enforce_csrf_checks=True)
    for url in (ASK, ALONE):
        assert client.post(url).status_code == 403


def test_the_session_changes_when_one_signs_in_by_it(client, device):
    client.post(ASK)
    before = client.cookies["stint_session"].value
    show(client, device, ALONE)
    assert client.cookies["stint_session"].value != before


def test_one_is_added_with_a_name_and_removed(client, world):
    sign_in(client)
    device = Device()
    asked = client.post(f"{ADD}ask/").json()
    done = client.post(ADD, {"passkey": device.make(asked), "name": "Laptop"}).content.decode()
    assert len(codes_on(done)) == 10
    page = client.get("/account/").content.decode()
    assert "Laptop" in page
    assert "never used" in page
    (added,) = factors_of(world.alice).passkeys
    other = Client()
    assert show(other, device, ALONE).status_code == 302
    assert "used" in client.get("/account/").content.decode()
    assert client.post(f"/account/factors/{added.pk}/remove/")["Location"] == "/account/"
    assert last("identity.factor_removed", "alice").data == {"factor": "webauthn", "name": "Laptop"}
    assert other.get("/").status_code == 302
    assert show(Client(), device, ALONE).status_code == 400


def test_what_is_wrong_is_said_beside_the_form(client, world):
    sign_in(client)
    for form, said in (
        ({"name": ""}, "A name is required"),
        ({"name": "x", "passkey": "{"}, "was not accepted"),
    ):
        answer = client.post(ADD, form)
        assert answer.status_code == 400
        assert said in answer.content.decode()
    assert not factors_of(world.alice).any


def test_a_passkey_shows_again_who_one_is(client, device, world):
    show(client, device, ALONE)
    age(client)
    page = client.get(ADD).content.decode()
    assert "Continue with a passkey" in page
    assert client.post(f"{ADD}ask/").status_code == 403
    assert show(client, device, "/account/confirm/", next=ADD)["Location"] == ADD
    assert client.post(f"{ADD}ask/").status_code == 200


def test_where_a_second_factor_is_required_a_passkey_is_one(client, device, world, settings):
    settings.SECOND_FACTOR = "required"
    show(client, device, ALONE)
    assert client.get("/").status_code == 200
    bobs = Client()
    sign_in(bobs, "bob")
    assert bobs.get("/")["Location"] == "/account/factors/"
    made = Device().make(bobs.post(f"{ADD}ask/").json())
    bobs.post(ADD, {"passkey": made, "name": "Phone"})
    assert bobs.get("/").status_code == 200


def test_at_an_address_without_a_name_no_passkey_is_offered(client, world, settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    give_app(world.alice, clock.now())
    pages = [client.get("/sign-in/").content.decode()]
    sign_in(client)
    pages.append(client.get(STEP).content.decode())
    assert not [page for page in pages if "passkey" in page]
    sign_in(client, "bob")
    bobs = Client()
    sign_in(bobs, "bob")
    assert "Passkeys need HTTPS and a host name" in bobs.get(ADD).content.decode()


def test_who_is_signed_in_is_led_home(client, device):
    show(client, device, ALONE)
    assert show(client, device, ALONE)["Location"] == "/"
    assert events("alice").count("identity.signed_in") == 1
