"""What every change of somebody's second factors does."""

from __future__ import annotations

import pytest
from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.models import Notice
from sessions_app.operations.identities.change_factors import (
    NOT_YOU,
    SignInEnded,
    end_sign_ins,
    first_codes,
    lock_person,
    lock_self,
    note_change,
)
from tests.support.world.acts import intact, last


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


def test_recovery_codes_are_made_for_who_has_none(world):
    codes = first_codes(lock_person(world.alice.pk))
    assert len(set(codes)) == 10
    assert first_codes(lock_person(world.alice.pk)) == []
    assert set(first_codes(lock_person(world.bob.pk))).isdisjoint(codes)


def test_it_is_recorded_by_who_did_it_and_the_person_is_told_what_to_do(world):
    note_change(
        identity=world.alice, event=Event.IDENTITY_FACTOR_ADDED, actor=actor_of(world.admin), data={"factor": "totp"},
        subject="An app was added", now=world.now,
    )  # fmt: skip
    entry = last("identity.factor_added", "alice")
    assert (entry.actor, entry.data) == ("admin", {"factor": "totp"})
    notice = Notice.objects.get(event="identity.factor_added")
    assert (notice.identity, notice.subject, notice.body, notice.path) == (
        world.alice,
        "An app was added",
        NOT_YOU,
        "/account/",
    )
    assert intact()


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
