"""Browsers of people, without a browser."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client

from broker.kernel import clock
from tests.support.world import acts
from tests.support.world.factors import just_signed_in


@pytest.fixture
def at_noon(monkeypatch) -> dt.datetime:
    """It is noon on a Wednesday, in the middle of a month, and stays so."""
    noon = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    monkeypatch.setattr(clock, "now", lambda: noon)
    return noon


@pytest.fixture
def browser(world) -> Callable[..., Client]:
    """Make a client that is signed in as somebody of the world, or as nobody."""

    def make(name: str | None = None, **options) -> Client:
        client = Client(**options)
        if name is not None:
            just_signed_in(client, getattr(world, name))
        return client

    return make


@pytest.fixture
def as_alice(browser) -> Client:
    return browser("alice")


@pytest.fixture
def as_bob(browser) -> Client:
    return browser("bob")


@pytest.fixture
def as_charlie(browser) -> Client:
    return browser("charlie")


@pytest.fixture
def as_admin(browser) -> Client:
    return browser("admin")


@pytest.fixture
def grant(world):
    """An active grant of alice."""
    return world.grant()


@pytest.fixture
def opened(grant, now):
    """The use of the grant on web-1, and a session of it."""
    used = acts.use(grant, now=now)
    return used, acts.session(used, now=now)
