"""The database's time is carried forward by this process's monotonic clock, always from the last reading."""

import datetime as dt

import pytest

from sessions_app.gateways.core.clock import LoopClock
from tests.support.steady import Steady
from tests.support.world.holders import START


def span(seconds: float) -> dt.timedelta:
    return dt.timedelta(seconds=seconds)


@pytest.fixture
def steady(monkeypatch) -> Steady:
    steady = Steady()
    monkeypatch.setattr("sessions_app.gateways.core.clock.time", steady)
    return steady


@pytest.mark.parametrize("ago", [0.0, 7.5, 86_400.0])
def test_the_time_goes_on_from_the_reading_as_fast_as_the_steady_clock(steady, ago):
    clock = LoopClock(START, steady.at - ago)
    assert clock.now() == START + span(ago)
    steady.at += 0.25
    assert clock.now() == START + span(ago + 0.25)


def test_a_new_reading_replaces_the_old_one_wholly(steady):
    clock = LoopClock(START, steady.at - 500)
    clock.set(START - span(3600), steady.at - 20)
    assert clock.now() == START - span(3580)


@pytest.mark.parametrize("seconds", [3600.0, 0.0, -3600.0])
def test_what_is_left_until_a_moment_is_negative_once_it_has_passed(steady, seconds):
    clock = LoopClock(START, steady.at)
    assert clock.until(START + span(seconds)) == seconds
