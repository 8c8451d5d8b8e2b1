"""The one clock: the database's, and never behind it."""

import datetime as dt

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from hypothesis import example, given
from hypothesis import strategies as st

from broker.kernel import clock
from tests.support.steady import Steady


@pytest.fixture
def steady(monkeypatch):
    steady = Steady()
    monkeypatch.setattr(clock, "time", steady)
    return steady


@pytest.mark.parametrize("late", [0.0, 0.4])
def test_an_answer_that_comes_late_sets_the_clock_back_by_nothing(stint_db, steady, late):
    """Every deadline would come as much later."""

    def answer(execute, *asked):
        result = execute(*asked)
        steady.at += late
        return result

    asked = steady.at
    with connection.execute_wrapper(answer):
        reading = clock.sync()
    assert reading.monotonic == asked
    assert (clock.now() - reading.database).total_seconds() == late


def test_a_connection_that_has_to_be_made_first_sets_the_clock_ahead_by_nothing(stint_db, steady):
    def slowly(**_: object) -> None:
        steady.at += 1

    connection.close()
    connection_created.connect(slowly)
    try:
        reading = clock.sync()
    finally:
        connection_created.disconnect(slowly)
    assert clock.now() == reading.database


START = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)


def seconds(count: float) -> dt.timedelta:
    return dt.timedelta(seconds=count)


def told(answers, *, speed: float = 1.0) -> list[tuple[float, float]]:
    """For answers (pause before it, time there, time back): how far the clock is then ahead of the
    database's, which runs at this speed, and how late the answer was.
    """
    found, reading, now = [], None, 0.0
    for pause, there, back in answers:
        before = now + pause
        now = before + there + back
        said = START + seconds((before + there) * speed)
        reading = clock.narrowed(reading, said=said, before=before, after=now)
        found.append(((reading.database - START).total_seconds() - before * speed, there + back))
    return found


delays = st.floats(0, 5)
_A_MICROSECOND = 2e-6


@given(st.lists(st.tuples(st.floats(0, 10), delays, delays), min_size=1), st.floats(1 - 4e-4, 1 + 4e-4))
@example([(0, 0.0, 0.0), *[(1, 0.5, 0.5)] * 50], 1.0004)
def test_the_clock_is_never_behind_the_databases_and_never_further_ahead_than_its_answer_was_late(
    answers, speed
):
    for ahead, late in told(answers, speed=speed):
        assert -_A_MICROSECOND <= ahead <= late * speed + _A_MICROSECOND


def test_a_late_answer_sets_no_clock_ahead_that_a_prompt_one_has_set():
    (first, _), (second, _) = told([(0, 0.001, 0.001), (1, 2, 0)])
    assert (first, second) == (pytest.approx(0.001), pytest.approx(0.001, abs=0.001))


@pytest.mark.parametrize("step", [-3600, -1, 1, 3600])
def test_a_database_whose_clock_was_set_is_followed_at_once(step):
    last = clock.Reading(database=START, monotonic=100.0)
    said = START + seconds(10 + step)
    assert clock.narrowed(last, said=said, before=110.0, after=110.5).database == said
