"""Who comes back from the identity provider. Every refusal over the wire stands in `web/test_provider.py`."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from accounts.operations.link_provider import NotLinked
from sessions_app.operations.identities.begin_provider_sign_in import begin_provider_sign_in
from sessions_app.operations.identities.sign_in_by_provider import NotSignedIn, sign_in_by_provider
from tests.support.acts import last
from tests.support.identity_provider import provider_on_loopback, settings_of


@pytest.fixture
def come_back(world, settings):
    """Go to the provider as somebody, and come back."""
    with provider_on_loopback() as provider:
        for name, value in settings_of(provider).items():
            setattr(settings, name, value)

        def go(error: str | None = None, **person):
            address, asked = begin_provider_sign_in()
            provider.person |= person
            back = parse_qs(urlsplit(provider.let_in(urlsplit(address).query)).query)
            return sign_in_by_provider(
                code=back["code"][0], answered_by=back["iss"][0], error=error, asked=asked, address="192.0.2.1",
                now=world.now,
            )  # fmt: skip

        yield go


def test_it_is_whom_the_provider_proved(come_back, world):
    assert come_back() == world.alice
    assert come_back(sub="00u2", email="bob@example.com") == world.bob


def test_what_fails_is_recorded_with_where_it_came_from(come_back):
    with pytest.raises(NotLinked):
        come_back(email="zoe@example.com")
    assert last("identity.sign_in_failed", "zoe@example.com").data["from"] == "192.0.2.1"
    with pytest.raises(NotSignedIn):
        come_back(nonce="another")
    assert last("identity.sign_in_failed").data["reason"] == "nonce mismatch"
    with pytest.raises(NotSignedIn, match="it says access_denied"):
        come_back(error="access_denied")
