"""What opens Stint from elsewhere is made only by who has just shown who they are, at every entry point."""

import datetime as dt
import re

import pytest
from django.test import Client

from accounts.models import APIToken, DeviceAuthorization, DeviceState, SSHPublicKey
from tests.accounts.operations.test_start_device import start
from tests.sessions_app.api.conftest import Caller
from tests.sessions_app.web.pages import ACTS, PUBLIC, READABLE
from tests.sessions_app.web.test_access import (
    PUBLIC_KEY,
    things,  # noqa: F401  # the fixture: one of everything that a page can be about
)
from tests.support.world.acts import events
from tests.support.world.factors import just_signed_in, sign_in
from tests.support.world.reading import read
from tests.support.world.world import PASSWORD

SIX_MINUTES = dt.timedelta(minutes=6)
GIVEN, OWN = "words that root made up", "words that erin made up"
KEY = {"public_key": PUBLIC_KEY, "label": "Laptop"}
TOKEN = {"label": "ci", "scope": ["read", "request"], "days": "7"}


@pytest.fixture
def left_open(world) -> Client:
    """Alice signed in six minutes ago, and went away."""
    return just_signed_in(Client(), world.alice, SIX_MINUTES)


@pytest.fixture
def code(world) -> str:
    """What a program shows that waits to be let in."""
    return start(world).user_code


def nothing_was_made(world) -> bool:
    return not SSHPublicKey.objects.exists() and not APIToken.objects.exists()


@pytest.mark.parametrize(("path", "form"), [("/account/keys/", KEY), ("/account/tokens/", TOKEN)])
def test_a_page_that_was_left_open_for_six_minutes_makes_no_key_or_token_until_who_it_is_is_shown(
    world, left_open, path, form
):
    for identity in (world.alice, world.robot):
        asked = left_open.post(path, {**form, "identity": identity.pk})
        assert asked.status_code == 403
        assert "Confirm it's you" in asked.content.decode()
        assert nothing_was_made(world)
    # What was typed is kept, and goes on with the password.
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.content.decode()))
    assert kept["label"] == form["label"]
    wrong = left_open.post(path, {**form, "proves": "1", "password": "not mine"})
    assert (wrong.status_code, nothing_was_made(world)) == (400, True)
    assert form["label"] in wrong.content.decode()
    left_open.post(path, {**form, "proves": "1", "password": PASSWORD})
    made = SSHPublicKey.objects.get() if form is KEY else APIToken.objects.get()
    assert (made.identity, made.label) == (world.alice, form["label"])


def test_a_page_that_was_left_open_lets_no_program_in(world, left_open, code):
    for answer in (
        left_open.get(f"/device/?user_code={code}"),
        left_open.post("/device/", {"user_code": code, "answer": "allow"}),
    ):
        assert "Confirm it's you" in answer.content.decode()
    assert f'name="next" value="/device/?user_code={code}"' in read(left_open, f"/device/?user_code={code}")
    assert DeviceAuthorization.objects.get().state == DeviceState.PENDING
    done = left_open.post(
        "/device/", {"user_code": code, "answer": "allow", "proves": "1", "password": PASSWORD}
    )
    assert "can act as you" in done.content.decode()


@pytest.mark.parametrize(
    "path", ["/me/ssh-keys", "/identities/robot/ssh-keys", "/me/tokens", "/identities/robot/tokens"]
)
def test_a_session_that_calls_the_api_is_asked_the_same(world, left_open, path):
    caller = Caller(world.alice, client=left_open)
    body = KEY if path.endswith("keys") else {"label": "ci", "scopes": ["read"]}
    refused = caller.post(path, body)
    assert (refused.status_code, refused.body["code"]) == (403, "proof_needed")
    assert "/account/confirm/" in refused.body["detail"]
    assert nothing_was_made(world)
    assert left_open.get("/account/confirm/").status_code == 200
    assert left_open.post("/account/confirm/", {"password": PASSWORD})["Location"] == "/account/"
    assert caller.post(path, body).status_code == 201


@pytest.fixture
def erin(world):
    """A person whom an administrator has just made, by the API, with a password."""
    admin = Caller(world.admin, client=just_signed_in(Client(), world.admin))
    body = {"username": "erin", "kind": "person", "email": "erin@example.com", "password": GIVEN}
    assert admin.post("/identities", body).status_code == 201
    client = Client()
    sign_in(client, "erin", GIVEN)
    return client


def test_the_first_password_that_an_administrator_made_opens_nothing_but_its_own_change(
    erin,
    things,  # noqa: F811  # the fixture
):
    for name in {*READABLE, *ACTS} - PUBLIC - {"account_password", "account_logout"}:
        answer = (erin.post if name in ACTS else erin.get)(things.address(name))
        assert (answer.status_code, answer.headers.get("Location")) == (302, "/account/password/"), name
    for path in ("/api/v1/me", "/api/v1/grants", "/api/v1/identities"):
        assert erin.get(path).status_code == 401, path
    assert Caller(None, client=erin).post("/me/ssh-keys", KEY).status_code == 401


def change(client: Client, new: str = OWN):
    return client.post("/account/password/", {"current": GIVEN, "new": new, "again": new})


def test_once_it_is_replaced_everything_opens_and_the_first_one_is_worth_nothing(erin):
    assert "Choose your own password" in read(erin, "/account/password/")
    same = change(erin, GIVEN)
    assert (same.status_code, "already your password" in same.content.decode()) == (400, True)
    erin.get("/approvals/")
    assert change(erin)["Location"] == "/approvals/"
    assert erin.get("/").status_code == 200
    assert "identity.password_changed" in events("erin")
    assert "Location" not in sign_in(Client(), "erin", GIVEN).headers
    other = Client()
    sign_in(other, "erin", OWN)
    assert other.get("/").status_code == 200
