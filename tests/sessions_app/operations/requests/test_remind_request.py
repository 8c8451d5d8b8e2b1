"""Reminding those who decide."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Notice
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.requests.remind_request import MayNotRemind, remind_request
from tests.support.world.acts import after, at_once, events, last, policy


def remind(world, request, who=None, *, now=None):
    return remind_request(request_id=request.pk, actor=who or world.alice, now=now or world.now)


def told() -> list[str]:
    return sorted(
        Notice.objects.filter(event="request.reminded").values_list("identity__username", flat=True)
    )


def test_those_who_can_still_decide_are_told_and_it_is_recorded(world):
    world.apply(policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    world.decide(request)
    reminded = remind(world, request)
    assert reminded.reminded_at == world.now
    assert told() == ["dora"]
    entry = last("request.reminded", request.ref)
    assert (entry.actor, entry.data) == ("alice", {"notified": ["dora"]})


def test_once_in_ten_minutes_and_then_again(world):
    request = world.request()
    remind(world, request)
    with pytest.raises(MayNotRemind, match="less than 10 minutes ago") as refusal:
        remind(world, request, now=after(world, minutes=3))
    assert refusal.value.hint == "Remind them again in 7 min."
    assert told() == ["bob", "dora"]
    remind(world, request, now=after(world, minutes=10))
    assert told() == ["bob", "bob", "dora", "dora"]


def test_others_are_told_that_there_is_no_such_request_of_theirs(world):
    request = world.request()
    for who in (world.bob, world.charlie, world.admin, world.robot):
        with pytest.raises(NotFound):
            remind(world, request, who)
    assert told() == []


def test_what_waits_no_more_reminds_nobody(world):
    decided, late = world.request(), world.request()
    world.decide(decided)
    with pytest.raises(AlreadyDecided):
        remind(world, decided)
    with pytest.raises(AlreadyDecided):
        remind(world, late, now=late.lapses_at)
    assert "request.reminded" not in events()


def test_where_nobody_can_decide_any_more_it_says_so(world):
    request = world.request()
    world.apply({"groups/approvers.yaml": "name: approvers\nmembers: []\n"})
    with pytest.raises(MayNotRemind, match="No approver is available"):
        remind(world, request)


def test_a_double_click_tells_once(live_world):
    request = live_world.request()
    results = at_once(*[lambda: remind(live_world, request)] * 2)
    assert sum(isinstance(result, MayNotRemind) for result in results) == 1
    assert told() == ["bob", "dora"]
