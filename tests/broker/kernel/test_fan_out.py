"""Calls of many others: those that hang hold up few, and nobody for ever."""

import threading
from collections import Counter

import pytest

from broker.kernel import fan_out
from broker.kernel.fan_out import AT_ONCE, MOST, OF_GROUP, FanOut
from broker.kernel.threads import Threads
from tests.support.waits import eventually, happens


class Systems:
    """Others that are called, some of which hang until they are let go."""

    def __init__(self, longest: float) -> None:
        self.threads = Threads(MOST, name="called")
        self.fan = FanOut(self.threads, longest=longest)
        self.go, self._lock = threading.Event(), threading.Lock()
        self.answered: list[tuple[int, int]] = []
        self.late: list[tuple[int, int]] = []
        self.calling: Counter[int] = Counter()
        self.most: Counter[str] = Counter()

    def add(self, group: int, number: int, *, hangs: bool = False) -> None:
        def then(answered: bool) -> None:
            (self.answered if answered else self.late).append((group, number))

        self.fan.add(group, lambda: self._called(group, hangs=hangs), then=then, late=False)

    def _called(self, group: int, *, hangs: bool) -> bool:
        with self._lock:
            self.calling[group] += 1
            self.most["group"] = max(self.most["group"], self.calling[group])
            self.most["all"] = max(self.most["all"], self.calling.total())
        if hangs:
            happens(self.go)
        with self._lock:
            self.calling[group] -= 1
        return True

    def run(self, meanwhile=lambda last: None) -> None:
        self.fan.run(meanwhile=meanwhile)


@pytest.fixture
def systems():
    made = []

    def make(longest: float = 60) -> Systems:
        made.append(Systems(longest))
        return made[-1]

    yield make
    for one in made:
        one.go.set()
        one.threads.shutdown()
    eventually(lambda: not any(thread.name.startswith("called") for thread in threading.enumerate()))


def test_everybody_is_called_and_groups_take_turns(systems):
    called = systems()
    for number in range(100):
        called.add(1, number)
    called.add(2, 0)
    called.run()
    assert sorted(called.answered) == [(1, number) for number in range(100)] + [(2, 0)]
    assert called.answered.index((2, 0)) < 40


def test_a_group_that_hangs_holds_up_no_other_and_goes_on_beside_what_is_silent(systems, monkeypatch):
    monkeypatch.setattr(fan_out, "SILENCE", 0.0)
    called = systems()
    for number in range(50):
        called.add(1, number, hangs=True)
    for number in range(200):
        called.add(1 + number % 4, 50 + number)

    def let_go(last: bool) -> None:
        if len(called.answered) == 200:
            called.go.set()

    called.run(let_go)
    assert len(called.answered) == 250


def test_until_it_is_silent_a_group_has_few_places_and_all_together_a_limit(systems):
    called = systems()
    for group in range(10):
        for number in range(20):
            called.add(group, number, hangs=True)

    def let_go(last: bool) -> None:
        if called.calling.total() == AT_ONCE:
            called.go.set()

    called.run(let_go)
    assert called.most["group"] <= OF_GROUP
    assert called.most["all"] <= AT_ONCE


def test_a_call_that_never_comes_back_is_given_up(systems, monkeypatch):
    monkeypatch.setattr(fan_out, "LOOK", 0.01)
    called = systems(longest=0.05)
    called.add(1, 0, hangs=True)
    called.run()
    assert (called.answered, called.late) == ([], [(1, 0)])


def test_what_follows_from_an_answer_can_be_another_call(systems):
    called = systems()
    called.fan.add(1, lambda: True, then=lambda _: called.add(1, 7), late=False)
    lasts = []
    called.run(lasts.append)
    assert called.answered == [(1, 7)]
    assert lasts[-1]
    assert not any(lasts[:-1])
