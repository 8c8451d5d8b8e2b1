"""What every OAuth endpoint refuses the same way."""

import pytest
from django.conf import settings
from django.db import OperationalError
from django.db.models import QuerySet
from django.urls import resolve

from tests.sessions_app.api.conftest import token_for

ENDPOINTS = ("token", "device_authorization", "introspect", "revoke")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_only_forms_are_read_and_only_by_post(oauth, path):
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        answer = oauth.raw(path, '{"token": "x"}', kind=kind)
        assert (answer.status_code, answer.body["error"]) == (400, "invalid_request")
    for method in ("get", "put", "delete"):
        answer = getattr(oauth.client, method)(f"/oauth/{path}")
        assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_answer_is_kept_by_anybody(oauth, path):
    assert oauth(path, x="1")["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_parameter_stands_once_and_has_no_nul(oauth, path):
    for body in ("token=a&token=b", "scope=read&scope=read", "token=%00", "resource=%00&resource=x"):
        answer = oauth.raw(path, body)
        assert (answer.status_code, answer.body["error"]) == (400, "invalid_request")


def test_a_body_without_end_is_refused(oauth):
    assert oauth("token", grant_type="x" * 70_000).status_code == 413


def test_a_cookie_opens_no_endpoint(oauth, world):
    oauth.client.force_login(world.alice, backend="accounts.backends.PasswordBackend")
    assert oauth("introspect", token="x").status_code == 401


def test_an_address_that_asks_without_end_is_told_to_wait(oauth):
    answers = [oauth("device_authorization", client_id="stint-cli").status_code for _ in range(31)]
    assert answers == [200] * 30 + [429]


def test_descriptions_are_plain_ascii_as_the_rfc_wants(oauth):
    said = oauth("token", grant_type="“ä\\\n").body["error_description"]
    assert said.isascii()
    assert not set(said) & {'"', "\\", "\n"}


def test_without_a_database_there_is_no_token_and_the_answer_says_so(oauth, monkeypatch):
    def gone(*_args, **_more):
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(QuerySet, "first", gone)
    answer = oauth("revoke", token="x")
    assert (answer.status_code, answer.body, answer["Retry-After"]) == (
        503,
        {"error": "temporarily_unavailable"},
        "1",
    )


def test_a_token_without_the_scope_to_read_asks_about_nothing(oauth, world):
    answer = oauth("introspect", token_for(world.alice, world.now, "request"), token="x")
    assert (answer.status_code, answer.body["error"]) == (403, "insufficient_scope")


def test_the_metadata_lies_before_the_issuers_path_and_names_the_issuer_byte_for_byte(oauth):
    told = oauth.client.get("/.well-known/oauth-authorization-server/oauth").json()
    assert told["issuer"] == f"{settings.PUBLIC_URL}/oauth"
    assert not told["issuer"].endswith("/")


def test_each_endpoint_that_it_names_is_there(oauth):
    told = oauth.client.get("/.well-known/oauth-authorization-server/oauth").json()
    endpoints = [url for name, url in told.items() if name.endswith("_endpoint")]
    assert len(endpoints) == 4
    for url in endpoints:
        assert resolve(url.removeprefix(settings.PUBLIC_URL))


def test_no_scope_that_opens_further_entry_points_is_offered(oauth):
    told = oauth.client.get("/.well-known/oauth-authorization-server/oauth").json()
    assert told["scopes_supported"] == ["decide", "end", "read", "request"]
