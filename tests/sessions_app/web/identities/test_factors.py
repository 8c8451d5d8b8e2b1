"""Setting up and removing what protects one's sign-in, and the mode in which a second factor is required."""

import datetime as dt
import re

import pytest
from django.test import Client

from accounts.factors import factors_of, offer_secret, offered_secret
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.operations.identities.renew_codes import renew_codes
from tests.sessions_app.api.conftest import token_for
from tests.sessions_app.web.pages import ACTS, PUBLIC, READABLE
from tests.sessions_app.web.test_access import things  # noqa: F401  # the fixture: one of everything that a page can be about
from tests.support.world.acts import events, last
from tests.support.world.factors import (
    SECRET,
    code_of,
    codes_on,
    give_app,
    second_step,
    secret_on,
    sign_in,
    wrong_code,
)
from tests.support.world.reading import answered, read, says
from tests.support.world.world import PASSWORD

APP, CONFIRM = "/account/factors/app/", "/account/confirm/"


@pytest.fixture
def client(world) -> Client:
    """Alice has just signed in."""
    client = Client()
    sign_in(client)
    return client


def ticket_on(page: str) -> str:
    return re.search(r'name="ticket" value="([^"]+)"', page)[1]


def set_up(client: Client):
    page = read(client, APP)
    code = code_of(secret_on(page), clock.now())
    return client.post(APP, {"ticket": ticket_on(page), "code": code})


def test_an_app_is_set_up_with_its_key_and_then_asked_for_at_sign_in(client, world):
    page = read(client, APP)
    assert '<svg class="qr"' in page
    assert "style=" not in page
    done = set_up(client).content.decode()
    assert len(codes_on(done)) == 10
    assert "shown again" in done
    account = read(client, "/account/")
    says(account, "Authenticator app", "10 of 10 left")
    assert codes_on(account) == []
    other = Client()
    assert sign_in(other)["Location"] == "/sign-in/second-step/"
    assert second_step(other, codes_on(done)[0])["Location"] == "/"
    assert "9 of 10 left" in read(other, "/account/")


def test_setting_one_up_keeps_this_browser_and_ends_the_other_sessions(client, browser):
    there, bobs = browser("alice"), browser("bob")
    set_up(client)
    assert client.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert bobs.get("/account/").status_code == 200


@pytest.mark.parametrize("ticket", ["", "x", "é", "AAAA", "A" * 200])
def test_a_key_that_was_not_offered_is_not_taken(client, world, ticket):
    assert "has expired" in answered(client.post(APP, {"ticket": ticket, "code": "123456"}), 400)
    assert not factors_of(world.alice).any


def test_an_offer_is_for_one_person_and_for_some_minutes(world):
    secret, ticket = offer_secret(world.alice, world.now)
    assert offered_secret(world.alice, ticket, world.now + dt.timedelta(minutes=4)) == secret
    for who, minutes in ((world.bob, 0), (world.alice, 11)):
        with pytest.raises(InvalidInput):
            offered_secret(who, ticket, world.now + dt.timedelta(minutes=minutes))


def age(client: Client) -> None:
    """As if the sign-in had been an hour ago."""
    session = client.session
    for shown in session["account_authentication_methods"]:
        shown["at"] -= 3600
    session.save()


def test_what_changes_a_sign_in_asks_again_who_it_is_after_some_minutes(client, world):
    age(client)
    page = client.get(APP)
    assert (page.status_code, "Confirm it's you" in page.content.decode()) == (200, True)
    assert 'class="qr"' not in page.content.decode()
    done = client.post(CONFIRM, {"password": PASSWORD, "next": APP})
    assert done["Location"] == APP
    set_up(client)
    app = factors_of(world.alice).app
    age(client)
    for url in ("/account/factors/codes/", f"/account/factors/{app.pk}/remove/"):
        assert "before you change keys" in answered(client.post(url), 403)
    assert client.post(APP, {"code": "1"}).status_code == 403
    assert factors_of(world.alice).app == app
    codes = give_codes(world)
    assert client.post(CONFIRM, {"code": codes[0]})["Location"] == "/account/"
    assert client.post(f"/account/factors/{app.pk}/remove/")["Location"] == "/account/"
    assert not factors_of(world.alice).any


def test_where_there_is_a_factor_the_password_alone_changes_none(client, world):
    set_up(client)
    app = factors_of(world.alice).app
    age(client)
    asked = read(client, APP)
    assert 'name="code"' in asked
    assert 'name="password"' not in asked
    assert client.post(CONFIRM, {"password": PASSWORD, "next": APP}).status_code == 400
    assert client.post(f"/account/factors/{app.pk}/remove/").status_code == 403
    assert factors_of(world.alice).app == app


def give_codes(world) -> list[str]:
    world.alice.refresh_from_db()
    return renew_codes(actor=world.alice, now=clock.now())


def test_a_wrong_password_or_code_proves_nothing_and_is_not_tried_for_ever(client, world):
    give_app(world.bob, clock.now())
    bob = Client()
    sign_in(bob, "bob")
    age_of = client.session["account_authentication_methods"][-1]["at"]
    age(client)
    for typed, said in (({"password": "wrong"}, "Wrong password"), ({"code": "1"}, "code is incorrect")):
        answer = client.post(CONFIRM, {**typed, "next": APP})
        assert answer.status_code == 400
        assert said in answer.content.decode()
        assert f'name="next" value="{APP}"' in answer.content.decode()
    for _ in range(5):
        client.post(CONFIRM, {"code": "1"})
    assert client.post(CONFIRM, {"code": "1"}).status_code == 429
    assert client.session["account_authentication_methods"][-1]["at"] < age_of - 3000


def test_an_administrator_takes_the_factors_of_others_away(world, browser):
    give_app(world.alice, clock.now())
    theirs, admin = browser("alice"), browser("admin")
    page = read(admin, "/people/alice/")
    says(page, "an authenticator app; 10 recovery codes left", "Reset two-factor for Alice")
    assert "Reset two-factor" not in read(theirs, "/people/alice/")
    assert admin.post("/people/alice/factors/").status_code == 400
    assert admin.post("/people/alice/factors/", {"reason": "lost phone"})["Location"] == "/people/alice/"
    assert last("identity.factors_reset", "alice").data["reason"] == "lost phone"
    assert theirs.get("/").status_code == 302
    assert browser("bob").post("/people/alice/factors/", {"reason": "x"}).status_code == 404
    give_app(world.admin, clock.now())
    mine = browser("admin")
    assert "Reset two-factor" not in read(mine, "/people/admin/")
    assert mine.post("/people/admin/factors/", {"reason": "x"}).status_code == 400
    assert factors_of(world.admin).app


@pytest.fixture
def required(settings):
    settings.SECOND_FACTOR = "required"


def test_where_it_is_required_a_sign_in_without_opens_only_what_sets_one_up(required, client, world, things):  # noqa: F811
    sets_up = {"factors", "totp_add", "passkey_add", "passkey_add_ask", "account_confirm"}
    for name in {*READABLE, *ACTS} - PUBLIC - sets_up:
        send = client.post if name in ACTS else client.get
        answer = send(things.address(name))
        assert (answer.status_code, answer["Location"]) == (302, "/account/factors/"), name
    fragment = client.get("/pulse/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/"})
    assert (fragment.status_code, fragment["Location"]) == (401, "/account/factors/")
    assert fragment.content.startswith(b"Your sign-in needs another step.")
    for path in ("/api/v1/me", "/api/v1/grants"):
        assert client.get(path).status_code == 401, path
    for path in (
        "/account/factors/",
        APP,
        "/account/factors/passkey/",
        "/nowhere/",
        "/docs/",
        f"{APP}?a=%00",
    ):
        page = read(client, path)
        assert "Approvals" not in page, path
        assert 'id="pulse"' not in page, path
    assert "Two-factor authentication is required" in read(client, "/account/factors/")
    client.get("/grants/?show=now")
    done = set_up(client).content.decode()
    assert len(codes_on(done)) == 10
    # The page that was opened before the step is next.
    assert '<a class="btn fill" href="/grants/?show=now">' in done
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/me").status_code == 200
    assert "identity.factor_added" in events("alice")


def test_who_has_one_gets_in_by_it_and_a_session_that_never_showed_it_does_not(required, world, browser):
    give_app(world.alice, clock.now())
    client = Client()
    sign_in(client)
    second_step(client, code_of(SECRET, clock.now()))
    assert client.get("/").status_code == 200
    before = browser("alice")
    assert before.get("/")["Location"] == "/account/factors/"
    assert "sign in with your second factor" in read(before, "/account/factors/")


def test_tokens_are_not_asked_for_a_second_factor(required, world):
    for who in (world.alice, world.robot):
        header = {"Authorization": f"Bearer {token_for(who, world.now)}"}
        assert Client().get("/api/v1/me", headers=header).status_code == 200


def test_a_wrong_code_is_refused_beside_the_same_key(client):
    page = read(client, APP)
    wrong = client.post(APP, {"ticket": ticket_on(page), "code": wrong_code(secret_on(page), clock.now())})
    assert wrong.status_code == 400
    assert "code is incorrect" in wrong.content.decode()
    assert secret_on(wrong.content.decode()) == secret_on(page)
