"""The device flow, as a program and a person go through it."""

import datetime as dt

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import APIToken, DeviceAuthorization
from tests.sessions_app.api.conftest import Caller
from tests.support.world.factors import just_signed_in
from tests.support.world.reading import read, says

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def start(oauth, **more):
    return oauth("device_authorization", client_id="stint-cli", **more).body


def poll(oauth, codes):
    # As if the interval had passed.
    DeviceAuthorization.objects.update(asked_at=None)
    return oauth("token", grant_type=DEVICE, device_code=codes["device_code"], client_id="stint-cli")


@pytest.fixture
def browser(world):
    return just_signed_in(Client(), world.alice)


def test_a_person_lets_a_program_in_and_it_acts_as_them(oauth, browser, world):
    codes = start(oauth)
    assert codes["verification_uri"] == f"{settings.PUBLIC_URL}/device/"
    assert codes["verification_uri_complete"].endswith(f"/device/?user_code={codes['user_code']}")
    assert (codes["expires_in"], codes["interval"]) == (600, 5)
    waiting = poll(oauth, codes)
    assert (waiting.status_code, waiting.body["error"]) == (400, "authorization_pending")
    shown = browser.post("/device/", {"user_code": codes["user_code"].lower()}).content.decode()
    assert codes["user_code"] in shown
    says(shown, "127.0.0.1", "decide, end, read, request")
    assert poll(oauth, codes).body["error"] == "authorization_pending"
    done = browser.post("/device/", {"user_code": codes["user_code"], "answer": "allow"})
    assert "can act as you" in done.content.decode()
    given = poll(oauth, codes)
    assert given.status_code == 200, given.body
    assert (given.body["token_type"], given.body["scope"]) == ("Bearer", "decide end read request")
    assert 43_000 < given.body["expires_in"] <= 43_200
    assert Caller(world.alice, given.body["access_token"]).get("/me").body["username"] == "alice"
    assert poll(oauth, codes).body["error"] == "invalid_grant"


def test_an_address_with_the_code_in_it_decides_nothing(oauth, browser):
    codes = start(oauth)
    there = codes["verification_uri_complete"].removeprefix(settings.PUBLIC_URL)
    for method in ("get", "head"):
        assert getattr(browser, method)(f"{there}&answer=allow").status_code == 200
    assert DeviceAuthorization.objects.get().state == "pending"
    assert f'value="{codes["user_code"]}"' in read(browser, there)


def test_a_refused_program_gets_nothing(oauth, browser):
    codes = start(oauth)
    assert (
        "The program got no access."
        in browser.post("/device/", {"user_code": codes["user_code"], "answer": "deny"}).content.decode()
    )
    assert poll(oauth, codes).body["error"] == "access_denied"
    assert not APIToken.objects.exists()


def test_a_form_that_another_site_sends_lets_nobody_in(oauth, world):
    codes = start(oauth)
    strict = Client(enforce_csrf_checks=True)
    just_signed_in(strict, world.alice)
    assert strict.post("/device/", {"user_code": codes["user_code"], "answer": "allow"}).status_code == 403
    assert poll(oauth, codes).body["error"] == "authorization_pending"


def test_a_code_that_is_too_old_is_said_to_be_so(oauth, world):
    codes = start(oauth)
    DeviceAuthorization.objects.update(expires_at=world.now - dt.timedelta(seconds=1))
    assert poll(oauth, codes).body["error"] == "expired_token"


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_id": "stint-cli", "scope": "administer"}, 400, "invalid_scope"),
    ],
)
def test_what_is_not_offered_is_refused(oauth, sent, status, error):
    answer = oauth("device_authorization", **sent)
    assert (answer.status_code, answer.body["error"]) == (status, error)
    assert not DeviceAuthorization.objects.exists()


def test_grant_types_that_are_not_there_are_refused(oauth):
    for kind in ("password", "client_credentials", "authorization_code", "refresh_token"):
        answer = oauth("token", grant_type=kind, username="alice", password="x")
        assert (answer.status_code, answer.body["error"]) == (400, "unsupported_grant_type")


def test_a_wrong_code_is_said_to_be_so_and_guessing_ends(oauth, browser):
    answers = [browser.post("/device/", {"user_code": "BCDF-GHJK"}).status_code for _ in range(11)]
    assert answers == [400] * 10 + [429]
