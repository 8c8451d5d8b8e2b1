"""Who comes back from the identity provider. Every refusal over the wire stands in `web/test_provider.py`."""

from urllib.parse import parse_qs, urlsplit

import pytest

from accounts.operations.link_provider import NotLinked
from sessions_app.operations.identities.begin_provider_sign_in import begin_provider_sign_in
from sessions_app.operations.identities.sign_in_by_provider import Answer, NotSignedIn, sign_in_by_provider
from tests.support.servers.identity_provider import provider_on_loopback, settings_of
from tests.support.world.acts import last
from tests.support.world.factors import give_app


@pytest.fixture
def come_back(world, settings):
    """Go to the provider as somebody, and come back."""
    with provider_on_loopback() as provider:
        provider.remembers = world.now.timestamp() - 3600
        for name, value in settings_of(provider).items():
            setattr(settings, name, value)

        def go(error: str | None = None, **person):
            address, asked = begin_provider_sign_in()
            provider.person |= person
            back = parse_qs(urlsplit(provider.let_in(urlsplit(address).query)).query)
            answer = Answer(asked=asked, code=back["code"][0], answered_by=back["iss"][0], error=error)
            return sign_in_by_provider(answer=answer, address="192.0.2.1", now=world.now)

        yield go


def test_it_is_whom_the_provider_proved(come_back, world):
    assert come_back().person == world.alice
    assert come_back(sub="00u2", email="bob@example.com").person == world.bob


def test_it_proves_who_they_are_only_as_of_when_they_authenticated_there(come_back, world):
    assert (world.now - come_back().proven_at).total_seconds() == pytest.approx(3600, abs=1)
    # A clock of the provider's that is ahead makes no proof last longer.
    assert come_back(auth_time=world.now.timestamp() + 30).proven_at == world.now
    assert come_back(auth_time=None).proven_at is None


def test_it_proves_nothing_of_who_has_a_second_factor_here(come_back, world):
    give_app(world.alice, world.now)
    assert come_back(auth_time=int(world.now.timestamp())).proven_at is None


def test_what_fails_is_recorded_with_where_it_came_from(come_back):
    with pytest.raises(NotLinked):
        come_back(email="zoe@example.com")
    assert last("identity.sign_in_failed", "zoe@example.com").data["from"] == "192.0.2.1"
    with pytest.raises(NotSignedIn):
        come_back(nonce="another")
    assert last("identity.sign_in_failed").data["reason"] == "nonce mismatch"
    with pytest.raises(NotSignedIn, match="it returned access_denied"):
        come_back(error="access_denied")
