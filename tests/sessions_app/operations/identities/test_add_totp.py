"""Adding an authenticator app."""

import pytest
from allauth.mfa.models import Authenticator

from accounts.models import Identity
from broker.kernel.errors import Forbidden
from sessions_app.models import Notice
from sessions_app.operations.identities.add_totp import AppThere, add_totp
from sessions_app.operations.identities.change_factors import SignInEnded
from sessions_app.operations.identities.prove_code import WrongCode, prove_code
from sessions_app.operations.identities.reset_factors import reset_factors
from tests.support.world.acts import Started, events, fresh, intact, last, wait_for_waiters
from tests.support.world.factors import SECRET, STEP, code_of, wrong_code
from tests.support.world.passkeys import ORIGIN, give_passkey


def add(world, who=None, code: str = "", secret: str = SECRET):
    return add_totp(
        secret=secret, code=code or code_of(secret, world.now), actor=who or world.alice, now=world.now
    )


def test_an_app_that_shows_its_code_is_added_recorded_and_told_with_the_first_recovery_codes(world):
    before = world.alice.get_session_auth_hash()
    codes = add(world)
    assert len(set(codes)) == 10
    entry = last("identity.factor_added", "alice")
    assert (entry.actor, entry.data) == ("alice", {"factor": "totp"})
    notice = Notice.objects.get(identity=world.alice, event="identity.factor_added")
    assert (notice.subject, notice.path) == ("An authenticator app was added to your account", "/account/")
    assert fresh(world.alice).get_session_auth_hash() != before
    assert intact()


def test_a_wrong_code_adds_nothing(world):
    with pytest.raises(WrongCode, match="code is incorrect"):
        add(world, code=wrong_code(SECRET, world.now))
    assert not Authenticator.objects.exists()
    assert "identity.factor_added" not in events()


def test_the_code_that_set_it_up_signs_nobody_in(world):
    add(world)
    with pytest.raises(WrongCode):
        prove_code(identity_id=world.alice.pk, code=code_of(SECRET, world.now), address="", now=world.now)
    later = world.now + STEP
    assert prove_code(identity_id=world.alice.pk, code=code_of(SECRET, later), address="", now=later)


def test_there_is_one_app_a_person_and_none_of_a_machine(world):
    add(world)
    world.alice.refresh_from_db()
    with pytest.raises(AppThere):
        add(world)
    with pytest.raises(Forbidden, match="Machines don't sign in"):
        add(world, world.robot)


def test_neither_secret_nor_recovery_codes_are_stored_or_recorded_in_the_clear(world):
    codes = add(world)
    stored = " ".join(str(row.data) for row in Authenticator.objects.all())
    written = last("identity.factor_added").body
    for text in (SECRET, *codes):
        assert text not in stored + written


def test_one_that_waits_while_the_factors_are_reset_is_not_added_afterwards(
    live_world, owner_connection, settings
):
    world, settings.PUBLIC_URL = live_world, ORIGIN
    give_passkey(world.alice, world.now)
    acting = Identity.objects.get(pk=world.alice.pk)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        reset = Started(
            lambda: reset_factors(
                identity_id=acting.pk, reason="lost phone", actor=world.admin, now=world.now
            )
        )
        wait_for_waiters(owner_connection, 1)
        added = Started(
            lambda: add_totp(secret=SECRET, code=code_of(SECRET, world.now), actor=acting, now=world.now)
        )
        wait_for_waiters(owner_connection, 2)
    assert reset.result() == acting
    assert isinstance(added.result(), SignInEnded), added.result()
    assert not Authenticator.objects.exists()
