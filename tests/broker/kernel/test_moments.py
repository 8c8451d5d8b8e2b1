"""Moments in words."""

import datetime as dt

from broker.kernel.moments import Sayer

NIGHT = dt.datetime(2026, 11, 28, 1, 0, tzinfo=dt.UTC)


def test_a_moment_is_said_in_ones_zone_and_in_utc():
    assert Sayer.of("Europe/Berlin").moment(NIGHT) == "Sat 28 Nov 2026, 02:00 CET (01:00 UTC)"
    assert Sayer.of("Europe/Berlin").hour(NIGHT) == "02:00 CET (01:00 UTC)"


def test_where_the_day_is_another_one_in_utc_both_are_said():
    early = dt.datetime(2026, 11, 27, 23, 30, tzinfo=dt.UTC)
    assert Sayer.of("Europe/Berlin").moment(early) == "Sat 28 Nov 2026, 00:30 CET (Fri 27 Nov, 23:30 UTC)"


def test_where_the_zone_is_utc_or_the_same_by_now_it_is_said_once():
    assert Sayer.of("UTC").moment(NIGHT) == "Sat 28 Nov 2026, 01:00 UTC"
    assert Sayer.of("Europe/London").moment(NIGHT) == "Sat 28 Nov 2026, 01:00 GMT"
    summer = dt.datetime(2026, 7, 1, 12, 0, tzinfo=dt.UTC)
    assert Sayer.of("Europe/London").hour(summer) == "13:00 BST (12:00 UTC)"


def test_a_zone_that_is_not_known_keeps_nobody_from_being_told():
    for name in ("Mars/Olympus", "", "../etc/passwd", "Europe"):
        assert Sayer.of(name).hour(NIGHT) == "01:00 UTC"
