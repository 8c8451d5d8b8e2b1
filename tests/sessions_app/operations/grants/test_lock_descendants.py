"""Locking what was delegated from grants."""

from django.db import transaction

from sessions_app.models import EndReason, GrantState
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.grants.provision_grant import provision_grant
from tests.support.world.acts import after, change, enter, fresh, policy, run, undo

TERMS = {"delegation": {"depth": 2, "to": {"identities": ["robot", "deployer", "charlie"]}}}


def hand_on(world, grant, who, actor):
    part = Part(identity=who.username, command_set="restart-web", parameters={})
    made = delegate_grant(grant_id=grant.pk, actor=actor, part=part, now=world.now)
    return provision_grant(grant_id=made.pk, now=world.now)


def tree(world):
    """Alice's grant, that of the deployer below it, and that of the robot below that."""
    change(world, policy(world, **TERMS))
    first = world.grant()
    middle = hand_on(world, first, world.deployer, world.alice)
    return first, middle, hand_on(world, middle, world.robot, world.deployer)


def locked_below(*grants):
    with transaction.atomic():
        return lock_descendants(grant_ids=[grant.pk for grant in grants])


def test_all_that_hangs_on_grants_is_returned_the_nearest_first(world):
    first, middle, last = tree(world)
    other = hand_on(world, first, world.charlie, world.alice)
    assert locked_below(first) == [middle, other, last]
    assert locked_below(middle) == [last]
    assert locked_below(last) == locked_below() == []


def test_others_wait_for_what_is_below_and_not_for_the_first(live_world, owner_connection):
    first, middle, last = tree(live_world)
    with transaction.atomic():
        lock_descendants(grant_ids=[first.pk])
        free = owner_connection.execute("SELECT id FROM sessions_app_grant FOR UPDATE SKIP LOCKED").fetchall()
        assert free == [(first.pk,)]
    free = owner_connection.execute("SELECT id FROM sessions_app_grant FOR UPDATE SKIP LOCKED").fetchall()
    assert {pk for (pk,) in free} == {first.pk, middle.pk, last.pk}


def test_what_is_over_is_left_out_and_what_is_ending_is_not(world):
    first, middle, last = tree(world)
    end_grant(grant_id=last.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    assert locked_below(first) == [middle, last]
    assert undo(last, now=world.now).state == GrantState.ENDED
    assert locked_below(first) == [middle]


def test_what_finishes_below_a_grant_that_is_over_is_found_and_cut_from_above(world, fake_targets):
    """The robot lets a command finish; the grant above it ended at its holder's word, and is over."""
    first, middle, last = tree(world)
    run(*enter(last, now=world.now), "sleep 60 nightly", now=world.now)
    end_grant(grant_id=middle.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now, cut=False)
    assert undo(middle, now=world.now).state == GrantState.ENDED
    assert (fresh(last).state, last.finish_until) == (GrantState.REVOKING, after(world, minutes=5))
    assert locked_below(first) == [last]
    soon = after(world, seconds=10)
    end_grant(grant_id=first.pk, actor=world.bob, reason=EndReason.REVOKED, now=soon)
    assert fresh(last).finish_until == soon
