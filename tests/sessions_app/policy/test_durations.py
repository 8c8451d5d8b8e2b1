"""Durations as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.durations import parse_duration, say_duration, show_duration


@given(st.integers(min_value=1, max_value=9999 * 86400))
def test_what_is_shown_is_read_back_as_the_same_time(seconds):
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("4h", 14400), ("1h30m", 5400), ("2d", 172800), ("90s", 90), (60, 60)],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0s",
        "0",
        0,
        -5,
        "-5m",
        "5",
        "5 m",
        "1.5h",
        "5M",
        "1m1h",
        "m",
        "5m\n",
        "٥m",
        None,
        True,
        5.0,
        [],
        {},
    ],
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_pages_say_hours_and_minutes():
    assert say_duration(5400) == "1 h 30 min"
    assert say_duration(0) == "0 s"
