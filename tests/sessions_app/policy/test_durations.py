"""Durations as people write and read them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.durations import PATTERN
from sessions_app.policy.durations import parse_duration, say_duration, show_duration


@given(st.integers(min_value=1, max_value=9999 * 86400))
def test_what_is_shown_is_read_back_as_the_same_time(seconds):
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("4h", 14400),
        ("1h30m", 5400),
        ("2d", 172800),
        ("90s", 90),
        ("2 hours", 7200),
        ("1.5h", 5400),
        ("1h 30m", 5400),
        ("1 hour 30 minutes", 5400),
        ("45 min", 2700),
        ("1 D 2 H", 93600),
        (" 5 m ", 300),
        ("0.5d", 43200),
    ],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["90", 90, " 90 ", "1.5", "007"])
def test_a_number_alone_asks_for_minutes_or_hours(text):
    number = str(text).strip()
    with pytest.raises(
        ValueError, match=f"^{number} needs a unit: use {number}m for minutes or {number}h for hours$"
    ):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0s",
        "-5m",
        -5,
        "1m1h",
        "1h1h",
        "m",
        "1h30",
        "1,5h",
        "1.3s",
        "99999d",
        "0.00001d",
        "٥m",
        "h" * 999,
        None,
        True,
        [],
        {},
    ],
)
def test_anything_else_is_no_duration_and_the_error_says_what_to_write(text):
    with pytest.raises(ValueError, match="a duration;? ?(use one)? ?like 30m, 4h or 1h 30m"):
        parse_duration(text)


@given(st.from_regex(PATTERN.replace("$", r"\Z")))
def test_what_the_published_schema_allows_is_read_unless_it_is_no_time(text):
    try:
        assert parse_duration(text) > 0
    except ValueError:
        assert not text.strip() or not sum(float(n) for n in re.findall(r"[0-9.]+", text)) or "." in text


def test_pages_say_hours_and_minutes():
    assert say_duration(5400) == "1 h 30 min"
    assert say_duration(0) == "0 s"
