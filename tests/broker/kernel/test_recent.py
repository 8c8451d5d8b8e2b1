"""What a process remembers for some seconds."""

import pytest

from broker.kernel import recent


@pytest.fixture
def clock(monkeypatch):
    """The process's clock, which stands still."""
    now = [100.0]
    monkeypatch.setattr(recent.time, "monotonic", lambda: now[0])
    return now


def test_calls_are_counted_from_the_first_one_and_then_forgotten(clock):
    assert recent.count("a", 60) == (1, 60)
    clock[0] += 45
    assert recent.count("a", 60) == (2, 15)
    assert recent.count("b", 60) == (1, 60)
    clock[0] += 15
    assert recent.count("a", 60) == (1, 60)


def test_a_value_is_kept_as_long_as_was_said(clock):
    recent.keep("a", "said", 60)
    clock[0] += 59
    assert recent.kept("a") == "said"
    clock[0] += 1
    assert recent.kept("a") is None


def test_it_does_not_grow_without_end_and_the_oldest_goes_first(clock, monkeypatch):
    monkeypatch.setattr(recent, "_MOST", 3)
    for key in "abcd":
        recent.keep(key, key, 60)
    assert [recent.kept(key) for key in "abcd"] == [None, "b", "c", "d"]
