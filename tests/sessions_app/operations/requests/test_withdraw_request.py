"""Taking a request back."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Grant, RequestState
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.requests.withdraw_request import withdraw_request
from tests.support.world.acts import at_once, events, fresh, last


def withdraw(world, request, who=None):
    return withdraw_request(request_id=request.pk, actor=who or world.alice, now=world.now)


def test_a_withdrawn_request_can_not_be_decided_any_more(world):
    request = withdraw(world, world.request())
    assert (request.state, request.decided_at) == (RequestState.WITHDRAWN, world.now)
    assert last("request.withdrawn", request.ref).actor == "alice"
    for verdict in ("approve", "deny"):
        with pytest.raises(AlreadyDecided):
            world.decide(request, verdict=verdict, comment="no")
    assert not Grant.objects.exists()


def test_an_owner_withdraws_what_the_machine_asked_for(world):
    assert withdraw(world, world.request(world.robot), world.alice).state == RequestState.WITHDRAWN


def test_a_machine_does_not_withdraw_what_its_owner_asked_for(world):
    with pytest.raises(NotFound):
        withdraw(world, world.request(), world.robot)


OTHERS = ["bob", "charlie", "admin", "deployer"]


def test_others_are_told_that_there_is_no_such_request_of_theirs(world):
    for who in OTHERS:
        request = world.request()
        with pytest.raises(NotFound):
            withdraw(world, request, getattr(world, who))
        assert fresh(request).state == RequestState.PENDING


def test_what_is_decided_is_not_withdrawn(world):
    request = world.request()
    world.decide(request)
    with pytest.raises(AlreadyDecided):
        withdraw(world, request)
    assert "request.withdrawn" not in events(request.ref)


def test_a_withdrawal_and_an_approval_at_once_have_one_outcome(live_world):
    for _ in range(5):
        request = live_world.request()
        withdrawn, decided = at_once(
            lambda request=request: withdraw(live_world, request),
            lambda request=request: live_world.decide(request),
        )
        assert isinstance(withdrawn, AlreadyDecided) != isinstance(decided, AlreadyDecided)
        assert Grant.objects.filter(request=request).count() == (
            fresh(request).state == RequestState.APPROVED
        )
