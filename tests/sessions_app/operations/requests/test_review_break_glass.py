"""Somebody else reviews break-glass access."""

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.operations.requests.review_break_glass import StillInUse, review_break_glass
from tests.support.world.acts import after, at_once, awake, change, fresh, last


@pytest.fixture
def glass(world) -> Grant:
    return broken(world)


def broken(world, who=None) -> Grant:
    """Broken glass that is over."""
    request = world.request(who, kind="break_glass")
    return end_grant(grant_id=request.grant.pk, actor=None, reason=EndReason.EXPIRED, now=world.now)


def test_what_is_still_in_use_is_reviewed_when_it_is_over(world):
    grant = world.request(kind="break_glass").grant
    with pytest.raises(StillInUse):
        review(world, grant)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.EXPIRED, now=world.now)
    assert review(world, grant).reviewed_by == world.bob


def review(world, grant, who=None, note="All fine", **more):
    return review_break_glass(grant_id=grant.pk, reviewer=who or world.bob, note=note, now=world.now, **more)


def test_an_approver_reviews_and_the_record_says_what_was_found(world, glass):
    reviewed = review(world, glass, note=" All fine ")
    assert (reviewed.reviewed_by, reviewed.reviewed_at, reviewed.review_note) == (
        world.bob,
        world.now,
        "All fine",
    )
    assert last("breakglass.reviewed", glass.ref).data == {"note": "All fine"}


def test_a_review_opens_the_way_to_the_next_broken_glass(world, glass):
    review(world, glass)
    assert world.request(kind="break_glass", now=awake(after(world, hours=25))).state == "approved"


def test_an_administrator_may_review_what_is_not_his_own(world, glass):
    assert review(world, glass, world.admin).reviewed_by == world.admin


def test_nobody_reviews_their_own_by_whatever_account(world, glass):
    change(world, {"groups/approvers.yaml": "name: approvers\nmembers: [alice, bob]\n"})
    type(world.admin).objects.filter(pk=world.admin.pk).update(email="alice@EXAMPLE.com")
    world.admin.refresh_from_db()
    for who in (world.alice, world.admin):
        with pytest.raises(MayNotDecide):
            review(world, glass, who)
    assert fresh(glass).reviewed_at is None


def test_an_administrator_does_not_review_what_his_machine_did(world):
    type(world.robot).objects.filter(pk=world.robot.pk).update(owner=world.admin)
    change(world, {"groups/on-call.yaml": "name: on-call\nmembers: [robot]\n"})
    world.robot.refresh_from_db()
    world.request(world.robot, kind="break_glass")
    with pytest.raises(MayNotDecide):
        review(world, Grant.objects.get(), world.admin)


def test_strangers_and_machines_find_nothing_to_review(world, glass):
    for who in (world.charlie, world.robot):
        with pytest.raises(NotFound):
            review(world, glass, who)
    with pytest.raises(NotFound):
        review(world, world.grant())


NO_NOTES = ["", " \n", "a\0b", "x" * 5000]


def test_a_review_says_something_that_can_be_kept(world, glass):
    for note in NO_NOTES:
        with pytest.raises(InvalidInput):
            review(world, glass, note=note)


def test_a_review_is_given_once(world, glass):
    review(world, glass)
    with pytest.raises(AlreadyDecided):
        review(world, glass, world.dora)


def test_given_by_two_at_once_one_stands(live_world):
    grant = broken(live_world)
    results = at_once(lambda: review(live_world, grant), lambda: review(live_world, grant, live_world.dora))
    assert sum(isinstance(result, AlreadyDecided) for result in results) == 1
