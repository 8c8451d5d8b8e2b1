"""Who confirms at the identity provider. The pages' part of it stands in
`web/identities/test_provider.py`.
"""

import datetime as dt
from urllib.parse import parse_qs, urlsplit

import pytest

from accounts.models import ProviderLink
from broker.kernel.errors import NotFound
from sessions_app.operations.identities.begin_provider_sign_in import begin_provider_sign_in
from sessions_app.operations.identities.prove_by_provider import NotConfirmed, prove_by_provider
from sessions_app.operations.identities.sign_in_by_provider import Answer, NotSignedIn
from tests.support.servers.identity_provider import provider_on_loopback, settings_of
from tests.support.world.acts import events, last
from tests.support.world.factors import give_app


@pytest.fixture
def confirm(world, settings):
    """Go to the provider as Alice, who is linked to it, and come back."""
    with provider_on_loopback() as provider:
        for name, value in settings_of(provider).items():
            setattr(settings, name, value)
        ProviderLink.objects.create(
            identity=world.alice, issuer=provider.url, subject="00u1", email=world.alice.email
        )

        def go(error: str | None = None, later: dt.timedelta = dt.timedelta(), **person):
            address, asked = begin_provider_sign_in(confirms=True)
            provider.person |= person
            back = parse_qs(urlsplit(provider.let_in(urlsplit(address).query)).query)
            answer = Answer(asked=asked, code=back["code"][0], answered_by=back["iss"][0], error=error)
            return prove_by_provider(
                identity_id=world.alice.pk, answer=answer, address="192.0.2.1", now=world.now + later
            )

        yield go


def test_it_is_as_of_when_the_person_authenticated_there(confirm, world):
    before = events()
    assert abs(confirm() - world.now) < dt.timedelta(seconds=30)
    assert events() == before


def test_what_is_more_than_five_minutes_old_confirms_nothing(confirm, world):
    at = int(world.now.timestamp())
    assert confirm(auth_time=at - 290)
    with pytest.raises(NotConfirmed, match="did not authenticate you again"):
        confirm(auth_time=at - 301)
    entry = last("identity.sign_in_failed", "alice")
    assert (entry.data["from"], entry.data["reason"]) == ("192.0.2.1", "Okta did not authenticate you again.")


def test_another_account_confirms_nothing_whatever_its_address_says(confirm):
    with pytest.raises(NotConfirmed, match="not your account"):
        confirm(sub="00u9")


def test_who_has_a_second_factor_here_confirms_with_that(confirm, world):
    give_app(world.alice, world.now)
    with pytest.raises(NotConfirmed, match="second factor"):
        confirm()


def test_what_the_provider_refuses_is_a_failed_sign_in_of_the_person(confirm):
    with pytest.raises(NotSignedIn, match="it returned login_required"):
        confirm(error="login_required")
    assert last("identity.sign_in_failed", "alice").data["reason"] == "it returned login_required"


def test_who_is_disabled_confirms_nothing(confirm, world):
    world.alice.is_active = False
    world.alice.save()
    with pytest.raises(NotFound):
        confirm()
