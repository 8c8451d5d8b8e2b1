"""One's own password."""

import pytest

from accounts.attempts import TooManyTries
from accounts.operations.set_password import set_password
from accounts.passwords import WrongPassword
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from tests.support.world.acts import events, last
from tests.support.world.world import PASSWORD

NEW = "another horse, another battery"


def change(world, who=None, *, current: str = PASSWORD, new: str = NEW, actor=None):
    who = who or world.alice
    return set_password(
        identity_id=who.pk, current=current, new=new, actor=actor or who, address="192.0.2.7", now=world.now
    )


def test_whoever_knows_the_current_one_sets_another_and_it_is_recorded(world):
    assert change(world).check_password(NEW)
    world.alice.refresh_from_db()
    assert world.alice.check_password(NEW)
    entry = last("identity.password_changed", "alice")
    assert (entry.actor, entry.data) == ("alice", {})
    assert NEW not in entry.body


def test_without_the_current_one_nothing_changes(world):
    with pytest.raises(WrongPassword):
        change(world, current="a guess")
    world.alice.refresh_from_db()
    assert world.alice.check_password(PASSWORD)
    assert "identity.password_changed" not in events()


def test_five_guesses_are_all_there_are_and_the_right_one_is_not_looked_at_then(world):
    for _ in range(5):
        with pytest.raises(WrongPassword):
            change(world, current="a guess")
    with pytest.raises(TooManyTries):
        change(world)
    # Another person's tries are their own.
    assert change(world, world.bob)


def test_a_password_that_was_replaced_while_it_was_checked_sets_no_other(world, monkeypatch):
    def replaced(identity, *args, **kwargs) -> None:
        type(identity).objects.filter(pk=identity.pk).update(password="another")

    monkeypatch.setattr("accounts.operations.set_password.check_password", replaced)
    with pytest.raises(WrongPassword):
        change(world)


@pytest.mark.parametrize("poor", ["", "short", "password1234", "alice@example.com"])
def test_a_poor_one_is_refused_with_the_reason(world, poor):
    with pytest.raises(InvalidInput) as refused:
        change(world, new=poor)
    assert refused.value.fields["new"]
    assert "identity.password_changed" not in events()


def test_nobody_sets_anothers(world):
    for who in (world.bob, world.admin):
        with pytest.raises(NotFound):
            change(world, actor=who)


def test_machines_have_none(world):
    world.robot.set_password(PASSWORD)
    world.robot.save()
    with pytest.raises(Forbidden):
        change(world, world.robot)
