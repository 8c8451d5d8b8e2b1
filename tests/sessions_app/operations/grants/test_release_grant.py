"""Letting a grant go on that was held."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Grant, Notice
from sessions_app.operations.grants.release_grant import MayNotRelease, NotHeld, release_grant
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.queries.requests.deciders import releases_for
from tests.sessions_app.operations.sessions.test_note_deviation import tries
from tests.support.world.acts import change, last, policy, run


@pytest.fixture
def held(world):
    change(world, policy(world, deviations={"limit": 2}))
    grant = world.grant()
    grant.used, grant.opened = tries(world, grant, 2)
    return grant


def test_an_approver_lets_it_go_on_and_counting_begins_anew(world, held):
    release_grant(grant_id=held.pk, actor=world.bob, note="A typing mistake", now=world.now)
    assert run(held.used, held.opened, "echo restart nginx", now=world.now).verdict == "allowed"
    run(held.used, held.opened, "echo restart sshd", now=world.now)
    assert Grant.objects.get(pk=held.pk).held_at is None
    assert last("grant.released", held.ref).data["note"] == "A typing mistake"
    assert Notice.objects.filter(event="grant.released").get().identity == world.alice


def test_neither_the_holder_nor_an_administrator_nor_a_machine_may(world, held):
    for who in (world.alice, world.admin, world.robot):
        with pytest.raises((MayNotRelease, NotFound)):
            release_grant(grant_id=held.pk, actor=who, now=world.now)
    with pytest.raises(NotFound):
        release_grant(grant_id=held.pk, actor=world.charlie, now=world.now)


def test_who_suspended_it_resumes_it_but_never_its_holder(world):
    change(world, policy(world, deviations={"limit": 2}))
    grant = world.grant()
    tries(world, grant, 1)
    suspend_grant(grant_id=grant.pk, actor=world.admin, note="Wrong host", now=world.now)
    assert grant in releases_for(world.admin, world.now)
    assert grant not in releases_for(world.alice, world.now)
    with pytest.raises(MayNotRelease):
        release_grant(grant_id=grant.pk, actor=world.alice, now=world.now)
    released = release_grant(grant_id=grant.pk, actor=world.admin, now=world.now)
    assert (released.held_at, released.held_by, released.held_note) == (None, None, "")
    # Nobody has reviewed its refused commands.
    tries(world, grant, 1)
    assert Grant.objects.get(pk=grant.pk).held_at is not None


def test_its_holder_suspends_it_and_can_not_resume_it(world):
    grant = world.grant()
    suspend_grant(grant_id=grant.pk, actor=world.alice, now=world.now)
    with pytest.raises(MayNotRelease):
        release_grant(grant_id=grant.pk, actor=world.alice, now=world.now)


def test_one_that_is_not_held_is_said_to(world):
    with pytest.raises(NotHeld):
        release_grant(grant_id=world.grant().pk, actor=world.bob, now=world.now)
