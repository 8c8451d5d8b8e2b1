"""The moment of a page."""

import datetime as dt
import itertools

import pytest

from broker.kernel import clock
from sessions_app.web.moment import one_moment, page_now

START = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)


@pytest.fixture
def _the_time_goes_on(monkeypatch) -> None:
    """By a second each time that it is asked for."""
    seconds = itertools.count()
    monkeypatch.setattr(clock, "now", lambda: START + dt.timedelta(seconds=next(seconds)))


@pytest.mark.usefixtures("_the_time_goes_on")
def test_a_page_is_of_one_moment_however_long_it_takes():
    with one_moment():
        first = page_now()
        assert first < clock.now()
        assert page_now() == first


@pytest.mark.usefixtures("_the_time_goes_on")
def test_the_next_page_is_of_a_later_one():
    with one_moment():
        first = page_now()
    with one_moment():
        assert page_now() > first


def test_a_page_that_acts_first_is_of_the_moment_after_it(db):
    with one_moment():
        acted = clock.now()
        assert page_now() >= acted
