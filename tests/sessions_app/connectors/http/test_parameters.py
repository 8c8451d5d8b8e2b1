"""How a cluster is reached, and what the gateway injects there."""

import pytest
from pydantic import ValidationError

from sessions_app.connectors.base import secret_fields
from sessions_app.connectors.http.parameters import HTTPParameters

KEY = "k" * 40
OAUTH = {"token_url": "https://id.example.com/token", "client_id": "stint", "client_secret": "hunter2"}


def own(**inject):
    return HTTPParameters(proxy="stint", inject=inject)


@pytest.mark.parametrize(
    "inject",
    [
        {"header": "Authorization", "value": "Bearer abc def"},
        {"header": "X-Api-Key", "value": "hunter2"},
        {"header": "Cookie", "value": "session=hunter2"},
        {"query": "api_key", "value": "hunter2"},
        {"basic": {"user": "stint", "password": "hunter2"}},
        {"oauth": OAUTH},
        {"oauth": {**OAUTH, "scope": "read write"}},
    ],
)
def test_the_gateway_injects_one_credential_and_shows_it_nowhere(inject):
    assert "hunter2" not in repr(own(**inject))


@pytest.mark.parametrize(
    ("inject", "says"),
    [
        ({}, "exactly one"),
        ({"header": "X-Key"}, "needs a value"),
        ({"header": "X-Key", "query": "key", "value": "a"}, "exactly one"),
        ({"oauth": OAUTH, "value": "a"}, "needs a value"),
        ({"header": "X Key", "value": "a"}, "not a header name"),
        ({"header": "X-Key\r\nHost", "value": "a"}, "not a header name"),
        ({"header": "X-Key", "value": "a\r\nHost: b"}, "on one line"),
        ({"header": "X-Key", "value": " a"}, "on one line"),
        ({"header": "X-Key", "value": ""}, "on one line"),
        ({"header": "Host", "value": "a"}, "can't carry"),
        ({"header": "Connection", "value": "a"}, "can't carry"),
        ({"header": "Content-Type", "value": "a"}, "can't carry"),
        ({"header": "content-encoding", "value": "a"}, "can't carry"),
        ({"header": "X-Forwarded-For", "value": "a"}, "can't carry"),
        ({"header": "Accept", "value": "a"}, "can't carry"),
        ({"query": "a b", "value": "a"}, "pattern"),
        ({"basic": {"user": "a:b", "password": "c"}}, "pattern"),
        ({"oauth": {**OAUTH, "token_url": "http://id.example.com/token"}}, "https"),
        ({"oauth": {**OAUTH, "token_url": "https://u:p@id.example.com/"}}, "https"),
        ({"oauth": {**OAUTH, "token_url": "https:///token"}}, "https"),
    ],
)
def test_what_can_not_be_sent_is_refused(inject, says):
    with pytest.raises(ValidationError, match=says):
        own(**inject)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"proxy": "stint", "proxy_key": KEY}, "proxy_key is not used"),
        ({"proxy": "nginx"}, "proxy_key is missing"),
        ({"proxy": "nginx", "proxy_key": KEY, "public_host": "a.example.com"}, "public_host is not used"),
        ({"proxy": "nginx", "proxy_key": KEY, "inject": {"query": "a", "value": "b"}}, "inject is not used"),
        ({"proxy": "stint", "public_host": "A.example.com"}, "pattern"),
        ({"proxy": "stint", "public_host": "localhost"}, "pattern"),
        ({"proxy": "stint", "public_host": "a.example.com:443"}, "pattern"),
    ],
)
def test_each_way_takes_only_what_it_uses(given, says):
    with pytest.raises(ValidationError, match=says):
        HTTPParameters(**given)


def test_the_secrets_are_known_by_their_paths():
    assert secret_fields(HTTPParameters) == {
        "proxy_key",
        "inject.value",
        "inject.basic.password",
        "inject.oauth.client_secret",
    }
