"""What an administrator puts into a proxy."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from sessions_app.connectors.http.connector import HTTPParameters
from tests.support.api_site import PROXY_KEY, add_site


def said(*arguments):
    out = io.StringIO()
    call_command("http_target_setup", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def site(world):
    add_site(world)
    return world


def test_the_snippet_of_the_clusters_own_proxy_is_printed(site):
    text = said("tickets", "--upstream", "http://127.0.0.1:9001/", "--stint", "http://10.0.0.5:8000")
    assert "auth_request /_stint_tickets_api;" in text
    assert "proxy_pass http://10.0.0.5:8000/authz/nginx;" in text
    assert "proxy_pass http://127.0.0.1:9001;" in text
    assert PROXY_KEY in text
    assert "http://api.example.com" in text


def test_another_proxys_can_be_asked_for(site):
    for proxy, word in (("traefik", "forwardAuth"), ("caddy", "forward_auth"), ("envoy", "ext_authz")):
        assert word in said("tickets", "--proxy", proxy)


def test_a_fresh_key_is_good(site):
    key = said("--new-key").strip()
    assert HTTPParameters(proxy="nginx", proxy_key=key).proxy_key.get_secret_value() == key
    assert key != said("--new-key").strip()


def test_a_cluster_that_is_not_there_or_of_another_kind_is_told(site):
    for name in ("nothing", "web"):
        with pytest.raises(CommandError, match="no HTTP cluster"):
            said(name)
    with pytest.raises(CommandError, match="--new-key"):
        said()
