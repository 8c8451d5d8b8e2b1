"""Windows and freezes, over changes of daylight saving time."""

import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from sessions_app.policy.windows import (
    DAYS,
    Freeze,
    Window,
    allowed,
    covering,
    frozen,
    is_cut_off,
    next_free,
    upcoming,
)

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
# The days on which those zones change their clocks, with the day before and after each.
CHANGES = [
    dt.date.fromisoformat(day) + dt.timedelta(days=shift)
    for day in (
        "2026-03-29",
        "2026-10-25",  # Europe/Berlin
        "2026-03-08",
        "2026-11-01",  # America/New_York
        "2026-04-05",
        "2026-10-04",  # Australia/Lord_Howe, by half an hour
    )
    for shift in (-1, 0, 1)
]
CLOCKS = st.builds(dt.time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))


def window(start: str, end: str, zone: str = "Europe/Berlin", days=DAYS) -> Window:
    return Window.model_validate({"days": list(days), "from": start, "to": end, "zone": zone})


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def beginning(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(days=1)


@given(CLOCKS, CLOCKS, st.sampled_from(ZONES), st.sampled_from(CHANGES))
@example(dt.time(2, 0), dt.time(3, 0), "Europe/Berlin", dt.date(2026, 3, 29))
@example(dt.time(2, 30), dt.time(2, 45), "Europe/Berlin", dt.date(2026, 10, 25))
@example(dt.time(1, 45), dt.time(2, 15), "Australia/Lord_Howe", dt.date(2026, 4, 5))
def test_no_instant_of_a_window_is_outside_its_hours_on_the_wall(start, end, zone, day):
    local = zoneinfo.ZoneInfo(zone)
    open_ = window(f"{start:%H:%M}", f"{end:%H:%M}", zone)
    for opens, closes in open_.occurrences(beginning(day), days=4):
        instant = opens
        while instant < closes:
            wall = instant.astimezone(local).time().replace(fold=0)
            inside = start <= wall < end if end > start else wall >= start or wall < end
            assert inside, f"{wall} is not in {start}–{end}"
            instant += dt.timedelta(minutes=15)
        # The end itself is never the later of two instants that show the same time.
        assert closes.astimezone(local).fold == 0
        assert closes - opens <= dt.timedelta(hours=25)


def test_the_hour_that_is_missing_in_spring_has_no_window():
    spring = window("02:00", "03:00", days=["sun"])
    assert not covering([spring], utc("2026-03-29T00:30"), utc("2026-03-29T00:40"))
    assert not covering([spring], utc("2026-03-29T01:00"), utc("2026-03-29T01:01"))


def test_the_hour_that_comes_twice_in_autumn_is_used_in_neither_way_that_lengthens():
    inside_it = window("02:15", "02:45").occurrences(utc("2026-10-24T23:00"))
    assert next(inside_it)[0] == utc("2026-10-26T01:15")
    ends_in_it = window("01:00", "02:30", days=["sun"])
    assert covering([ends_in_it], utc("2026-10-24T23:00"), utc("2026-10-25T00:30"))
    assert not covering([ends_in_it], utc("2026-10-24T23:00"), utc("2026-10-25T00:31"))
    starts_in_it = window("02:30", "04:00", days=["sun"])
    assert covering([starts_in_it], utc("2026-10-25T01:30"), utc("2026-10-25T03:00"))
    assert not covering([starts_in_it], utc("2026-10-25T00:30"), utc("2026-10-25T00:45"))


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on():
    friday = window("22:00", "02:00", "UTC", ["fri"])
    assert covering([friday], utc("2026-10-23T23:30"), utc("2026-10-24T01:30"))
    assert not covering([friday], utc("2026-10-22T23:30"), utc("2026-10-23T01:30"))
    assert not covering([friday], utc("2026-10-24T22:30"), utc("2026-10-24T23:00"))


def test_time_must_lie_in_windows_from_its_first_to_its_last_instant():
    night = window("01:00", "03:00", "UTC")
    assert covering([night], utc("2026-10-20T01:00"), utc("2026-10-20T03:00"))
    assert not covering([night], utc("2026-10-20T00:59:59"), utc("2026-10-20T02:00"))
    assert not covering([night], utc("2026-10-20T02:00"), utc("2026-10-20T03:00:01"))
    assert not covering(
        [night, window("03:01", "04:00", "UTC")], utc("2026-10-20T02:30"), utc("2026-10-20T03:30")
    )


def test_a_window_that_begins_as_another_ends_goes_on_with_it():
    morning = [window("01:00", "03:00", "UTC"), window("03:00", "04:00", "UTC")]
    assert covering(morning, utc("2026-10-20T02:30"), utc("2026-10-20T03:30"))
    assert covering(morning, utc("2026-10-20T01:00"), utc("2026-10-20T04:00"))
    assert not covering(morning, utc("2026-10-20T02:30"), utc("2026-10-20T04:01"))


@pytest.mark.parametrize("hours", [0.5, 30, 24 * 40])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "Pacific/Auckland"])
def test_windows_from_midnight_to_midnight_leave_no_gap_between_days(zone, hours):
    start = utc("2026-10-19T21:45")
    always = [window("00:00", "00:00", zone)]
    assert covering(always, start, start + dt.timedelta(hours=hours))


def test_the_next_time_that_is_long_enough_is_found_and_the_longest_where_none_is():
    split = [
        window("01:00", "03:00", "UTC"),
        window("03:00", "04:00", "UTC"),
        window("12:00", "12:30", "UTC"),
    ]
    now = utc("2026-10-20T02:00")
    assert next_free(split, now, 7200) == (now, 10_800)
    assert next_free(split, now, 7201) == (utc("2026-10-21T01:00"), 10_800)
    assert next_free(split, now, 10_801) == (None, 10_800)
    assert next_free([], now, 60) == (None, 0)


def test_no_windows_cover_nothing():
    assert not covering([], utc("2026-10-20T01:00"), utc("2026-10-20T01:01"))
    assert upcoming([], utc("2026-10-20T01:00")) == []


def test_the_next_windows_come_soonest_first_and_once():
    night, day = window("01:00", "03:00", "UTC"), window("12:00", "13:00", "UTC")
    found = upcoming([night, day, night], utc("2026-10-20T02:00"), 4)
    assert [opens for opens, _ in found] == [
        utc("2026-10-20T01:00"),
        utc("2026-10-20T12:00"),
        utc("2026-10-21T01:00"),
        utc("2026-10-21T12:00"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"days": []},
        {"days": ["monday"]},
        {"zone": "Berlin"},
        {"zone": "../../etc/passwd"},
        {"from": 120},
        {"from": "2:00"},
        {"from": "24:00"},
        {"from": "02:00\n"},
        {"until": "03:00"},
    ],
)
def test_a_window_that_is_not_plain_is_refused(change):
    good = {"days": ["mon"], "from": "01:00", "to": "02:00", "zone": "UTC"}
    Window.model_validate(good)
    with pytest.raises(ValidationError):
        Window.model_validate({**good, **change})


def test_a_freeze_touches_what_shares_an_instant_with_it():
    freeze = Freeze.model_validate(
        {"from": "2026-12-20T00:00:00+01:00", "to": "2026-12-27T00:00:00+01:00", "reason": "Christmas"}
    )
    begins, ends = utc("2026-12-19T23:00"), utc("2026-12-26T23:00")
    minute = dt.timedelta(minutes=1)
    assert freeze.touches(begins - minute, begins + minute)
    assert freeze.touches(ends - minute, ends + minute)
    assert freeze.touches(begins - minute, ends + minute)
    assert not freeze.touches(begins - minute, begins)
    assert not freeze.touches(ends, ends + minute)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-12-20T00:00:00", "2026-12-27T00:00:00"),
        ("2026-12-27T00:00:00Z", "2026-12-20T00:00:00Z"),
        ("2026-12-20T00:00:00Z", "2026-12-20T00:00:00Z"),
    ],
)
def test_a_freeze_without_a_zone_or_a_length_is_refused(start, end):
    with pytest.raises(ValidationError):
        Freeze.model_validate({"from": start, "to": end, "reason": "why"})


@given(
    st.lists(st.tuples(CLOCKS, CLOCKS, st.sampled_from(ZONES)), min_size=1, max_size=3),
    st.sampled_from(CHANGES),
)
def test_the_allowed_stretches_are_exactly_the_instants_that_a_window_covers(hours, day):
    windows = [window(f"{start:%H:%M}", f"{end:%H:%M}", zone) for start, end, zone in hours]
    first = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=18)
    last = first + dt.timedelta(days=2)
    stretches = allowed(windows, first, last)
    assert stretches == sorted(stretches)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(stretches))
    instant = first
    while instant < last:
        inside = any(opens <= instant < closes for opens, closes in stretches)
        assert inside == covering(windows, instant, instant + dt.timedelta(minutes=1))
        instant += dt.timedelta(minutes=15)


def test_only_what_touches_is_frozen_and_it_is_cut_at_the_edges():
    freezes = [
        Freeze.model_validate(
            {"from": "2026-12-20T00:00:00+01:00", "to": "2027-01-02T00:00:00+01:00", "reason": "Year"}
        ),
        Freeze.model_validate(
            {"from": "2026-12-24T12:00:00Z", "to": "2026-12-24T13:00:00Z", "reason": "Move"}
        ),
        Freeze.model_validate(
            {"from": "2026-11-01T00:00:00Z", "to": "2026-12-24T00:00:00Z", "reason": "Before"}
        ),
    ]
    first, last = utc("2026-12-24T00:00"), utc("2026-12-25T00:00")
    assert frozen(freezes, first, last) == [
        (first, last, "Year"),
        (utc("2026-12-24T12:00"), utc("2026-12-24T13:00"), "Move"),
    ]


def test_windows_that_adjoin_are_listed_as_one():
    night = [window("22:00", "00:00", "UTC", ["mon"]), window("00:00", "04:00", "UTC", ["tue"])]
    assert upcoming(night, utc("2026-11-30T12:00"), 1) == [(utc("2026-11-30T22:00"), utc("2026-12-01T04:00"))]
    always = window("00:00", "00:00", "UTC")
    ((opens, closes),) = upcoming([always], utc("2026-11-30T12:00"))
    assert is_cut_off((opens, closes), utc("2026-11-30T12:00"))
