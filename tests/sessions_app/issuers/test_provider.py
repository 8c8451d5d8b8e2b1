"""A provider that is slow holds up a few sign-ins, and not all that a process does."""

import datetime as dt

import pytest

from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.keys import AGAIN, KEPT
from sessions_app.issuers.provider import Asked, Client, NotProven, Provider
from tests.sessions_app.issuers.conftest import LOOPBACK, Clock
from tests.support.pace import allow
from tests.support.servers.identity_provider import CLIENT_ID, CLIENT_SECRET, provider_on_loopback
from tests.support.waits import eventually
from tests.support.world.acts import Started

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def outside():
    with provider_on_loopback() as running:
        yield running


@pytest.fixture
def provider(outside, clock) -> Provider:
    client = Client(outside.url, CLIENT_ID, CLIENT_SECRET, "https://stint.example.com/answer/")
    return Provider(client, allowed=LOOPBACK, clock=clock)


def redeem(provider: Provider, outside, code: str = "none"):
    asked = Asked.anew()
    return provider.claims(code=code, answered_by=outside.url, asked=asked, now=NOW)


def test_two_wait_for_a_provider_that_hangs_and_the_third_is_told_so(provider, outside, monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", allow(60))
    provider.address(Asked.anew(), max_age=0)
    outside.awake.clear()
    waiting = [Started(lambda: redeem(provider, outside)) for _ in range(2)]
    eventually(lambda: outside.asked.count("/token") == 2)
    with pytest.raises(CannotFetch, match="other sign-ins are already waiting for it"):
        redeem(provider, outside)
    assert outside.asked.count("/token") == 2
    outside.awake.set()
    assert all(isinstance(one.result(), NotProven) for one in waiting)
    # That they had to wait was no fault of the provider's, which is asked as before.
    with pytest.raises(NotProven):
        redeem(provider, outside)


def test_what_it_says_of_itself_is_read_again_after_a_while_and_a_failure_sooner(
    provider, outside, clock: Clock
):
    there = "/.well-known/openid-configuration"
    outside.answers[there] = (500, {}, b"")
    for _ in range(2):
        with pytest.raises(CannotFetch, match="returned status 500"):
            provider.address(Asked.anew(), max_age=0)
    assert outside.asked.count(there) == 1
    clock.at += AGAIN + 1
    del outside.answers[there]
    for _ in range(2):
        assert provider.address(Asked.anew(), max_age=0).startswith(f"{outside.url}/authorize?")
    assert outside.asked.count(there) == 2
    clock.at += KEPT + 1
    outside.says["authorization_endpoint"] = f"{outside.url}/elsewhere?tenant=7"
    assert provider.address(Asked.anew(), max_age=0).startswith(
        f"{outside.url}/elsewhere?tenant=7&response_type=code"
    )
