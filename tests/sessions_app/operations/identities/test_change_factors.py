"""What every change of somebody's second factors does."""

import pytest
from django.db import transaction

from accounts.models import Identity
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.operations.identities.change_factors import (
    SignInEnded,
    end_sign_ins,
    lock_person,
    lock_self,
)


def test_nobody_else_changes_them_until_the_transaction_is_over(live_world, owner_connection):
    free = "SELECT id FROM accounts_identity WHERE username = 'alice' FOR NO KEY UPDATE SKIP LOCKED"
    with transaction.atomic():
        assert lock_person(live_world.alice.pk) == live_world.alice
        assert owner_connection.execute(free).fetchall() == []
    assert owner_connection.execute(free).fetchall() == [(live_world.alice.pk,)]


def test_machines_and_nobody_have_none(world):
    with pytest.raises(Forbidden, match="an API token"):
        lock_person(world.robot.pk)
    with pytest.raises(NotFound):
        lock_person(0)


def test_every_sign_in_of_the_person_is_over_and_no_other(world):
    before = {one: one.get_session_auth_hash() for one in (world.alice, world.bob)}
    end_sign_ins(lock_person(world.alice.pk))
    now = {one: Identity.objects.get(pk=one.pk).get_session_auth_hash() for one in before}
    assert [before[one] == now[one] for one in (world.alice, world.bob)] == [False, True]


@pytest.mark.parametrize("how", ["disabled", "sign-ins ended"])
def test_who_was_disabled_or_signed_out_since_the_request_began_changes_none_of_their_own(world, how):
    acting = Identity.objects.get(pk=world.alice.pk)
    assert lock_self(acting) == acting
    if how == "disabled":
        Identity.objects.filter(pk=acting.pk).update(is_active=False)
    else:
        end_sign_ins(lock_person(acting.pk))
    with pytest.raises(SignInEnded):
        lock_self(acting)
