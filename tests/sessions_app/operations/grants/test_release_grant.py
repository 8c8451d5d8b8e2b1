"""Letting a grant go on that was held."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import Grant, Notice
from sessions_app.operations.grants.release_grant import MayNotRelease, NotHeld, release_grant
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


def test_one_that_is_not_held_is_said_to(world):
    with pytest.raises(NotHeld):
        release_grant(grant_id=world.grant().pk, actor=world.bob, now=world.now)
