"""Looking up the program that shows a code."""

import datetime as dt

import pytest

from accounts.attempts import TooManyTries
from accounts.operations.decide_device import decide_device
from accounts.operations.find_device import UnknownCode, find_device
from tests.accounts.operations.test_start_device import start


def find(world, code, who=None, now=None):
    return find_device(user_code=code, identity=who or world.alice, address="192.0.2.7", now=now or world.now)


def test_codes_that_never_were_are_too_old_or_decided_get_one_answer(world):
    old, used = start(world).user_code, start(world).user_code
    decide_device(user_code=used, allow=True, identity=world.bob, address="192.0.2.7", now=world.now)
    late = world.now + dt.timedelta(minutes=10)
    answers = set()
    for code, now in (("BCDF-GHJK", world.now), ("nonsense", world.now), (used, world.now), (old, late)):
        with pytest.raises(UnknownCode) as refusal:
            find(world, code, now=now)
        answers.add((str(refusal.value), str(refusal.value.fields)))
    assert len(answers) == 1


def test_after_ten_wrong_codes_nothing_is_looked_at_also_not_the_right_one(world):
    code = start(world).user_code
    for _ in range(10):
        with pytest.raises(UnknownCode):
            find(world, "BCDF-GHJK")
    with pytest.raises(TooManyTries):
        find(world, code)
    assert find(world, code, world.bob).client_id == "stint-cli"


def test_a_code_of_ones_own_buys_no_more_tries(world):
    own = start(world).user_code
    for _ in range(9):
        with pytest.raises(UnknownCode):
            find(world, "BCDF-GHJK")
    assert find(world, own)
    with pytest.raises(UnknownCode):
        find(world, "BCDF-GHJK")
    with pytest.raises(TooManyTries):
        find(world, "BCDF-GHJK")
