"""The memory budget for the bodies that requests keep while they wait."""

import contextlib

import pytest

from sessions_app.gateways.core.body_budget import BodiesTooLarge, BodyBudget


def test_a_grant_keeps_only_its_share_and_what_ends_makes_room_again():
    room = BodyBudget(of_one=10, of_all=25)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(room.taken(1, 5))
        with pytest.raises(BodiesTooLarge, match="Too many large requests"), room.taken(1, 1):
            pass
        with room.taken(2, 10):
            pass
    with room.taken(1, 10):
        pass


def test_all_together_keep_only_so_much_and_what_keeps_nothing_always_fits():
    room = BodyBudget(of_one=10, of_all=25)
    with room.taken(1, 10), room.taken(2, 10):
        with pytest.raises(BodiesTooLarge) as refused, room.taken(3, 6):
            pass
        assert refused.value.status == 503
        with room.taken(3, 5), room.taken(1, 0):
            pass


def test_one_body_larger_than_a_share_fits_alone():
    room = BodyBudget(of_one=10, of_all=25)
    with room.taken(1, 20), pytest.raises(BodiesTooLarge), room.taken(1, 1):
        pass
