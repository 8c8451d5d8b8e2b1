"""Browsers of people, without a browser."""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
from django.template import Context, VariableDoesNotExist
from django.test import Client

from broker.kernel import clock
from tests.support.world import acts
from tests.support.world.factors import just_signed_in


class _Missing(logging.Filter):
    """The attributes that templates read from objects without them, where Django shows an empty text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Note what is missing. Nothing is logged."""
        error = record.exc_info and record.exc_info[1]
        if isinstance(error, VariableDoesNotExist):
            name, there = error.params
            if not isinstance(there, Mapping | Context | str | None):
                self.found.add(f"{type(there).__name__} has no {name}: {record.getMessage()}")
        return record.levelno > logging.DEBUG


@pytest.fixture(autouse=True)
def _templates_read_what_exists(monkeypatch) -> Iterator[None]:
    """Fail if a template reads an attribute that its object doesn't have."""
    missing, log = _Missing(), logging.getLogger("django.template")
    monkeypatch.setattr(log, "filters", [missing])
    monkeypatch.setattr(log, "level", logging.DEBUG)
    log.manager._clear_cache()
    yield
    assert not missing.found


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
