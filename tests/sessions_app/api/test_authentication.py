"""Who calls, and what a token opens."""

import datetime as dt

import pytest
from django.test import Client

from accounts.models import APIToken
from accounts.operations.revoke_token import revoke_token
from sessions_app.operations.identities.disable_identity import disable_identity
from tests.sessions_app.api.conftest import ALL_SCOPES, Caller, token_for

DENIALS = [
    ("GET", "/requests", "read"),
    ("POST", "/grants/GR-ZZZZ/credential", "request"),
    ("POST", "/requests", "request"),
    ("POST", "/requests/REQ-1/verdicts", "decide"),
    ("POST", "/requests/REQ-1/withdraw", "request"),
    ("POST", "/grants/GR-ZZZZ/end", "end"),
    ("POST", "/grants/GR-ZZZZ/extend", "request"),
    ("POST", "/grants/GR-ZZZZ/review", "decide"),
    ("POST", "/runs/1/decision", "decide"),
    ("POST", "/holds/decision", "decide"),
    ("POST", "/me/tokens", "administer"),
    ("POST", "/me/ssh-keys", "administer"),
    ("DELETE", "/me/tokens/1", "administer"),
    ("POST", "/identities", "administer"),
    ("POST", "/catalog/apply", "administer"),
    ("POST", "/command-sets", "administer"),
]


def answer_to(header: str):
    return Caller(None).get("/me", Authorization=header)


def test_without_a_token_there_is_nothing_but_the_way_to_get_in(api):
    answer = api().get("/requests")
    assert (answer.status_code, answer.body["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="Stint"'
    assert answer["Content-Type"] == "application/problem+json"


def test_unknown_expired_revoked_and_disabled_get_one_answer(world):
    expired = token_for(world.alice, world.now - dt.timedelta(days=2), lifetime=dt.timedelta(days=1))
    revoked, of_disabled, of_machine = (
        token_for(who, world.now) for who in (world.alice, world.dora, world.robot)
    )
    revoke_token(
        token_id=APIToken.objects.filter(identity=world.alice).latest("pk").pk,
        actor=world.alice,
        now=world.now,
    )
    disable_identity(identity_id=world.dora.pk, actor=world.admin, now=world.now)
    assert answer_to(f"Bearer {of_machine}").status_code == 200
    answers = {
        answer_to(f"Bearer {text}").content
        for text in ("stint_unknown", "\xff", expired, revoked, of_disabled)
    }
    type(world.alice).objects.filter(pk=world.alice.pk).update(is_active=False)
    answers.add(answer_to(f"Bearer {of_machine}").content)
    assert len(answers) == 1
    assert b"not valid" in answers.pop()


@pytest.mark.parametrize("header", ["Basic YWxpY2U6eA==", "Bearer", "Bearer a b", "Token x", "stint_x"])
def test_odd_headers_open_nothing(api, header):
    assert answer_to(header).status_code == 401


@pytest.mark.parametrize(("method", "path", "scope"), DENIALS)
def test_each_act_needs_its_scope(api, method, path, scope):
    others = [name for name in ALL_SCOPES if name != scope]
    refused = api("admin", *others)(method, path, {})
    assert (refused.status_code, refused.body["code"]) == (403, "scope_missing")
    assert "scope_missing" not in str(api("admin", scope)(method, path, {}).body)


def test_a_browser_session_must_send_the_csrf_token_to_act_and_a_token_need_not(api, world):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(world.alice, backend="accounts.backends.PasswordBackend")
    browser = Caller(world.alice, client=client)
    assert browser.get("/me").status_code == 200
    refused = browser.post("/requests/preview", {})
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    assert "CSRF" in refused.body["title"]
    client.cookies["stint_csrf"] = secret = "a" * 32
    assert browser.post("/requests/preview", {}, **{"X-CSRFToken": secret}).status_code == 400
    with_token = Caller(world.alice, token_for(world.alice, world.now), Client(enforce_csrf_checks=True))
    assert with_token.post("/requests/preview", {}).status_code == 400


def test_who_guesses_is_slowed_down_and_nobody_else_is(api):
    stranger = api()
    answers = [stranger.get("/me", Authorization=f"Bearer stint_{n}") for n in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {401}
    assert answers[60].status_code == 429
    assert int(answers[60]["Retry-After"]) >= 1
    assert answers[60].body["code"] == "throttled"
    # What the caller says of where it comes from does not help.
    assert stranger.get("/me", **{"X-Forwarded-For": "192.0.2.7"}).status_code == 429
    assert api("alice").get("/me").status_code == 200


def test_an_identity_has_one_count_for_all_of_its_tokens(api, settings):
    settings.API_PER_MINUTE = 3
    assert [api("alice").get("/me").status_code for _ in range(2)] == [200, 200]
    assert [api("alice", "read").get("/me").status_code for _ in range(2)] == [200, 429]
    assert api("bob").get("/me").status_code == 200


def test_answers_are_not_kept_by_caches(api):
    assert api("alice").get("/me")["Cache-Control"] == "no-store"
