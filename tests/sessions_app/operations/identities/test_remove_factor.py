"""Removing a factor of one's own."""

import pytest
from allauth.mfa.models import Authenticator

from accounts.factors import factors_of
from broker.kernel.errors import NotFound
from sessions_app.models import Notice
from sessions_app.operations.identities.remove_factor import LastFactor, remove_factor
from tests.support.world.acts import events, fresh, intact, last
from tests.support.world.factors import give_app


def app_of(person) -> Authenticator:
    return factors_of(person).app


def test_with_the_last_factor_the_recovery_codes_go_too(world):
    give_app(world.alice, world.now)
    before = world.alice.get_session_auth_hash()
    remove_factor(factor_id=app_of(world.alice).pk, actor=world.alice, now=world.now)
    assert not Authenticator.objects.exists()
    entry = last("identity.factor_removed", "alice")
    assert (entry.actor, entry.data) == ("alice", {"factor": "totp"})
    notice = Notice.objects.get(event="identity.factor_removed")
    assert notice.subject == "The authenticator app was removed from your account"
    assert fresh(world.alice).get_session_auth_hash() != before
    assert intact()


def test_anothers_and_recovery_codes_by_themselves_are_not_there(world):
    give_app(world.alice, world.now)
    codes = Authenticator.objects.get(type="recovery_codes")
    for pk, actor in ((app_of(world.alice).pk, world.bob), (codes.pk, world.alice), (0, world.alice)):
        with pytest.raises(NotFound):
            remove_factor(factor_id=pk, actor=actor, now=world.now)
    assert app_of(world.alice)
    assert "identity.factor_removed" not in events()


def test_where_one_is_required_the_last_stays(world, settings):
    settings.SECOND_FACTOR = "required"
    give_app(world.alice, world.now)
    with pytest.raises(LastFactor, match="Add another second factor first"):
        remove_factor(factor_id=app_of(world.alice).pk, actor=world.alice, now=world.now)
    assert factors_of(world.alice).codes_left == 10
