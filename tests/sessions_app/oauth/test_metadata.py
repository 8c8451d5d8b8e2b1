"""What the authorization server says of itself."""

from __future__ import annotations

from django.conf import settings
from django.urls import resolve


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


def test_no_scope_that_opens_further_doors_is_offered(oauth):
    told = oauth.client.get("/.well-known/oauth-authorization-server/oauth").json()
    assert told["scopes_supported"] == ["decide", "end", "read", "request"]
