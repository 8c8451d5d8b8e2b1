"""The database's time is carried forward by this process's own steady clock, from the last reading and no other."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from sessions_app.gateways.core.clock import LoopClock
from tests.support.holders import START

# A reading is carried forward in microseconds.
EXACT = dt.timedelta(microseconds=2)


def span(seconds: float) -> dt.timedelta:
    return dt.timedelta(seconds=seconds)


def between(clock: LoopClock, read_at: float, database: dt.datetime = START) -> bool:
    """Whether the clock says the database's time plus exactly what has passed since the reading."""
    before = time.monotonic() - read_at
    said = clock.now()
    after = time.monotonic() - read_at
    return database + span(before) - EXACT <= said <= database + span(after) + EXACT


@pytest.mark.parametrize("ago", [0.0, 7.5, 86_400.0])
def test_the_time_goes_on_from_the_reading_as_fast_as_the_steady_clock(ago):
    read_at = time.monotonic() - ago
    clock = LoopClock(START, read_at)
    assert between(clock, read_at)
    time.sleep(0.02)
    assert between(clock, read_at)


def test_a_new_reading_replaces_the_old_one_wholly():
    clock = LoopClock(START, time.monotonic() - 500)
    earlier, read_at = START - span(3600), time.monotonic() - 20
    clock.set(earlier, read_at)
    assert between(clock, read_at, earlier)


def test_the_time_is_aware_and_the_same_in_seconds_since_1970():
    clock = LoopClock(START, time.monotonic())
    before, said, after = clock.now(), clock.epoch(), clock.now()
    assert before.utcoffset() == dt.timedelta(0)
    assert before.timestamp() <= said <= after.timestamp()


@pytest.mark.parametrize("seconds", [3600.0, 0.0, -3600.0])
def test_what_is_left_until_a_moment_is_negative_once_it_has_passed(seconds):
    clock = LoopClock(START, time.monotonic())
    before = clock.now()
    left = clock.until(before + span(seconds))
    passed = (clock.now() - before).total_seconds()
    assert seconds - passed <= left <= seconds
