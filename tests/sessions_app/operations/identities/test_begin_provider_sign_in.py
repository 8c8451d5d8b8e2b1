"""Where a sign-in by the identity provider begins."""

from urllib.parse import parse_qs, urlsplit

import pytest

from broker.kernel.errors import NotFound
from sessions_app.operations.identities.begin_provider_sign_in import (
    ProviderDoesNotAnswer,
    begin_provider_sign_in,
)
from tests.support.servers.identity_provider import provider_on_loopback, settings_of


def test_each_sign_in_has_secrets_of_its_own_and_one_that_the_address_does_not_tell(settings):
    with provider_on_loopback() as provider:
        for name, value in settings_of(provider).items():
            setattr(settings, name, value)
        address, asked = begin_provider_sign_in()
        other = begin_provider_sign_in()[1]
    assert address.startswith(f"{provider.url}/authorize?")
    assert (asked.state in address, asked.nonce in address, asked.verifier in address) == (True, True, False)
    assert not {asked.state, asked.nonce, asked.verifier} & {other.state, other.nonce, other.verifier}
    assert asked.verifier not in repr(asked)


def test_a_sign_in_may_rest_on_one_as_old_as_ours_may_get_and_a_confirmation_on_none(settings):
    settings.SESSION_COOKIE_AGE = 7200
    with provider_on_loopback() as provider:
        for name, value in settings_of(provider).items():
            setattr(settings, name, value)
        sign_in, confirmation = (
            parse_qs(urlsplit(begin_provider_sign_in(confirms=confirms)[0]).query)
            for confirms in (False, True)
        )
    assert (sign_in["max_age"], "prompt" in sign_in) == (["7200"], False)
    assert (confirmation["max_age"], confirmation["prompt"]) == (["0"], ["login"])


def test_without_a_provider_there_is_nowhere_to_go(settings):
    with pytest.raises(NotFound):
        begin_provider_sign_in()
    settings.OIDC_ISSUER, settings.OIDC_NAME = "http://127.0.0.1:1", "Okta"
    with pytest.raises(ProviderDoesNotAnswer, match="Okta did not respond"):
        begin_provider_sign_in()
