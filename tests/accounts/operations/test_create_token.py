"""Making API tokens."""

import datetime as dt

import pytest
from django.db import transaction

from accounts.locks import IdentityDisabled
from accounts.models import APIToken
from accounts.operations.create_token import create_token
from broker.audit.models import AuditEntry
from broker.kernel.crypto import token_digest
from broker.kernel.errors import Forbidden, InvalidInput, NotFound
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from tests.support.world.acts import Started, last, policy, wait_for_waiters

DAY = dt.timedelta(days=1)


def make(world, who=None, actor=None, **changes):
    who = who or world.alice
    fields = {"label": "ci", "scopes": ["read", "request"], "lifetime": DAY, **changes}
    return create_token(identity_id=who.pk, actor=actor or who, now=world.now, **fields)


def test_a_token_is_shown_once_and_only_its_digest_is_kept(world):
    token, text = make(world)
    token.refresh_from_db()
    assert token.digest == token_digest(text)
    stored = " ".join(str(value) for value in APIToken.objects.values().get().values())
    assert text not in stored
    assert text[10:] not in stored
    assert text not in repr(token) + str(token)


def test_the_record_has_what_the_token_may_do_and_never_the_token(world):
    token, text = make(world)
    assert last("identity.token_created", "alice").data == {
        "token_id": token.pk,
        "scopes": ["read", "request"],
        "expires_at": (world.now + DAY).isoformat(),
    }
    assert not AuditEntry.objects.filter(body__contains=text[10:]).exists()
    assert not AuditEntry.objects.filter(body__contains=token.digest).exists()


def test_only_administrators_get_the_scope_administer(world):
    with pytest.raises(InvalidInput, match="administers nothing"):
        make(world, scopes=["read", "administer"])
    world.apply(policy(world, administrators={"identities": ["alice"]}))
    assert make(world, scopes=["read", "administer"])
    assert make(world, world.admin, scopes=["administer"])


WITHOUT_LIMITS = [
    {"scopes": []},
    {"scopes": ["root"]},
    {"scopes": ["read", "*"]},
    {"lifetime": dt.timedelta(0)},
    {"lifetime": -DAY},
    {"lifetime": 90 * DAY + dt.timedelta(seconds=1)},
    {"lifetime": dt.timedelta.max},
    {"label": " "},
]


def test_a_token_without_limits_is_refused(world):
    for changes in WITHOUT_LIMITS:
        with pytest.raises(InvalidInput) as refusal:
            make(world, **changes)
        assert refusal.value.fields
        assert not APIToken.objects.exists()


def test_nobody_makes_tokens_for_another_person_not_even_an_administrator(world):
    for actor in (world.bob, world.admin, world.robot):
        with pytest.raises(Forbidden):
            make(world, world.alice, actor)
    with pytest.raises(NotFound):
        create_token(
            identity_id=0, label="ci", scopes=["read"], lifetime=DAY, actor=world.admin, now=world.now
        )
    assert not APIToken.objects.exists()


def test_only_the_owner_makes_tokens_for_a_machine(world):
    assert make(world, world.robot, world.alice)[0].identity == world.robot
    for other in (world.bob, world.admin):
        with pytest.raises(Forbidden):
            make(world, world.robot, other)


@pytest.mark.parametrize("who", ["alice", "robot"])
def test_one_that_is_being_made_while_its_maker_is_disabled_is_worth_nothing_once_they_are_enabled(
    live_world, owner_connection, who
):
    world = live_world
    with transaction.atomic():
        disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
        made = Started(lambda: make(world, getattr(world, who), world.alice))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(made.result(), IdentityDisabled), made.result()
    enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    assert not APIToken.objects.filter(revoked_at__isnull=True).exists()


def test_one_that_is_made_with_a_token_of_a_run_is_bound_to_the_same_run(world):
    of_run, _ = make(world, workflow="github:acme/shop/1", lifetime=2 * DAY)
    assert make(world, by=of_run)[0].workflow == "github:acme/shop/1"
