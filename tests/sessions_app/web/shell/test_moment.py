"""The moment of a page."""

from __future__ import annotations

import time

import pytest

from broker.kernel import clock
from sessions_app.web.shell.moment import one_moment, page_now


def test_a_page_is_of_one_moment_however_long_it_takes(db):
    with one_moment():
        first = page_now()
        time.sleep(0.01)
        assert page_now() == first
        assert first < clock.now()


def test_the_next_page_is_of_a_later_one(db):
    with one_moment():
        first = page_now()
    with one_moment():
        assert page_now() > first


def test_a_page_that_acts_first_is_of_the_moment_after_it(db):
    with one_moment():
        acted = clock.now()
        assert page_now() >= acted


def test_outside_of_a_page_there_is_no_moment():
    with pytest.raises(LookupError):
        page_now()
