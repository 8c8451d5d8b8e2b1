"""Signing in with a second factor."""

import pytest
from django.test import Client

from accounts.models import Identity
from accounts.operations.set_password import set_password
from broker.kernel import clock
from sessions_app.operations.identities.reset_factors import reset_factors
from tests.sessions_app.web.pages import ACTS, PUBLIC, READABLE
from tests.sessions_app.web.test_access import things  # noqa: F401  # the fixture: one of everything that a page can be about
from tests.support.world.acts import events, last
from tests.support.world.factors import SECRET, code_of, give_app, second_step, sign_in, wrong_code
from tests.support.world.reading import answered, read
from tests.support.world.world import PASSWORD

STEP_URL = "/sign-in/second-step/"


@pytest.fixture(autouse=True)
def codes(world) -> list[str]:
    """Alice has an authenticator app."""
    return give_app(world.alice, clock.now())


def now_code() -> str:
    return code_of(SECRET, clock.now())


def test_after_the_password_a_code_is_asked_for_and_leads_to_where_one_was_going(client):
    first = sign_in(client, next="/requests/?show=all")
    assert (first.status_code, first["Location"]) == (302, STEP_URL)
    assert "authenticator app" in read(client, STEP_URL)
    assert second_step(client, now_code())["Location"] == "/requests/?show=all"
    assert client.get("/").status_code == 200
    assert last("identity.signed_in", "alice").data == {"from": "127.0.0.1", "factor": "totp"}


def test_a_sign_in_that_is_half_done_opens_nothing(client, things):  # noqa: F811  # the fixture
    sign_in(client)
    for name in {*READABLE, *ACTS} - PUBLIC:
        send = client.post if name in ACTS else client.get
        answer = send(things.address(name))
        assert (answer.status_code, answer["Location"][:10]) == (302, "/sign-in/?"), name
    for path in ("/api/v1/me", "/api/v1/grants", "/api/v1/requests"):
        assert client.get(path).status_code == 401, path
    assert client.post("/device/", {"user_code": "BCDF-GHJK"})["Location"].startswith("/sign-in/")
    assert "identity.signed_in" not in events()


def test_the_session_changes_at_each_step(client):
    sign_in(client)
    half = client.cookies["stint_session"].value
    second_step(client, now_code())
    assert client.cookies["stint_session"].value != half
    stolen = Client()
    stolen.cookies["stint_session"] = half
    assert stolen.get("/").status_code == 302


def test_wrong_codes_are_recorded_and_after_five_none_is_looked_at(client):
    sign_in(client)
    for _ in range(5):
        assert second_step(client, wrong_code(SECRET, clock.now())).status_code == 400
    assert "Too many wrong codes" in answered(second_step(client, now_code()), 429)
    assert events("alice").count("identity.sign_in_failed") == 5
    assert client.get("/").status_code == 302
    # Who guesses has the password. Where they are not, Alice is not delayed.
    elsewhere = Client(REMOTE_ADDR="192.0.2.9")
    sign_in(elsewhere)
    assert second_step(elsewhere, now_code()).status_code == 302


def test_one_can_begin_anew_as_somebody_else(client):
    sign_in(client)
    assert client.get("/sign-in/")["Location"] == STEP_URL
    assert client.post(STEP_URL, {"anew": "1"})["Location"] == "/sign-in/"
    assert client.get("/sign-in/").status_code == 200
    assert sign_in(client, "bob")["Location"] == "/"


def test_without_a_first_step_there_is_no_second(client):
    assert client.get(STEP_URL)["Location"] == "/sign-in/"
    assert second_step(client, now_code())["Location"] == "/sign-in/"
    sign_in(client, "bob")
    assert client.get(STEP_URL)["Location"] == "/"


def test_the_second_step_needs_the_token_of_our_form():
    client = Client(enforce_csrf_checks=True)
    page = read(client, "/sign-in/")
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    sign_in(client, csrfmiddlewaretoken=token)
    assert second_step(client, now_code()).status_code == 403
    assert client.get("/").status_code == 302


def disable(world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)


def change_password(world):
    new = "another horse, another battery"
    set_password(
        identity_id=world.alice.pk,
        current=PASSWORD,
        new=new,
        actor=world.alice,
        address="192.0.2.7",
        now=clock.now(),
    )


def take_factors(world):
    reset_factors(identity_id=world.alice.pk, reason="lost", actor=world.admin, now=clock.now())


@pytest.mark.parametrize("meanwhile", [disable, change_password, take_factors])
def test_what_ends_sign_ins_ends_one_that_is_half_done(client, world, codes, meanwhile):
    sign_in(client)
    meanwhile(world)
    assert second_step(client, codes[0])["Location"] == "/sign-in/"
    assert client.get("/sign-in/").status_code == 200
    assert client.get("/").status_code == 302
    assert "identity.signed_in" not in events()
