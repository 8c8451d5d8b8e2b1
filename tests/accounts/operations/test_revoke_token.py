"""Taking API tokens back."""

import datetime as dt

import pytest

from accounts.operations.create_token import MoreThanItself, create_token
from accounts.operations.revoke_token import revoke_token
from broker.kernel.errors import NotFound
from tests.support.world.acts import last


@pytest.fixture
def token(world):
    return create_token(
        identity_id=world.robot.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=world.now,
    )[0]


@pytest.mark.parametrize("who", ["robot", "alice", "admin"])
def test_itself_its_owner_and_an_administrator_revoke_a_token(world, token, who):
    revoked = revoke_token(token_id=token.pk, actor=getattr(world, who), now=world.now)
    assert not revoked.is_valid(world.now)
    entry = last("identity.token_revoked", "robot")
    assert (entry.actor, entry.data) == (who, {"token_id": token.pk})


def test_a_strangers_token_is_answered_like_one_that_is_not_there(world, token):
    answers = []
    for actor, pk in ((world.bob, token.pk), (world.deployer, token.pk), (world.bob, 0)):
        with pytest.raises(NotFound) as refusal:
            revoke_token(token_id=pk, actor=actor, now=world.now)
        answers.append(str(refusal.value))
    assert len(set(answers)) == 1
    token.refresh_from_db()
    assert token.is_valid(world.now)


def test_what_was_made_with_a_token_is_revoked_with_it_and_so_is_what_that_made(world, token):
    def made_with(by, who):
        return create_token(
            identity_id=who.pk,
            label="next",
            scopes=["read"],
            lifetime=dt.timedelta(hours=1),
            actor=who,
            by=by,
            now=world.now,
        )[0]

    child = made_with(token, world.robot)
    others = [made_with(child, world.robot), made_with(None, world.robot)]
    revoke_token(token_id=token.pk, actor=world.alice, now=world.now)
    for one in (child, *others):
        one.refresh_from_db()
    assert [one.is_valid(world.now) for one in (child, *others)] == [False, False, True]
    with pytest.raises(MoreThanItself, match="revoked"):
        made_with(child, world.robot)
