"""Switching identities off and on."""

import datetime as dt

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Identity
from accounts.operations.create_token import create_token
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import EndReason, Grant, GrantState, RequestState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.identities.disable_identity import (
    OnlyAdministrators,
    disable_identity,
    enable_identity,
)
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from tests.support.world.acts import (
    Started,
    after,
    enter,
    events,
    fresh,
    intact,
    last,
    run,
    wait_for_waiters,
)


def disable(world, who: Identity, actor=None) -> Identity:
    return disable_identity(identity_id=who.pk, actor=actor or world.admin, now=world.now)


def test_all_that_a_person_and_their_machines_hold_ends_at_once(world):
    own, coming = world.grant(), world.grant(start=False, starts_at=after(world, hours=2))
    world.decide(world.request(world.robot))
    theirs = Grant.objects.get(holder=world.robot)
    disabled = disable(world, world.alice)
    assert (disabled.is_active, disabled.disabled_at) == (False, world.now)
    for grant, state in ((own, "revoking"), (coming, "ended"), (theirs, "ended")):
        assert (fresh(grant).state, grant.end_reason) == (state, "identity_disabled")
        assert last(f"grant.{state}", grant.ref).actor == "admin"
    assert last("identity.disabled", "alice").data == {
        "grants_ended": 3,
        "requests_withdrawn": 0,
        "tokens_revoked": 0,
    }
    assert intact()


def test_it_also_cuts_what_was_being_let_finish(world):
    grant = world.grant()
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now, cut=False)
    disable(world, world.alice)
    assert fresh(grant).finish_until == world.now


def test_waiting_requests_are_withdrawn_and_each_is_recorded(world):
    requests = [world.request(), world.request(world.robot)]
    decided = world.request()
    world.decide(decided, verdict="deny", comment="no")
    disable(world, world.alice)
    for request in requests:
        assert fresh(request).state == RequestState.WITHDRAWN
        assert last("request.withdrawn", request.ref).actor == "admin"
    assert fresh(decided).state == RequestState.DENIED


def test_enabled_again_nothing_comes_back(world):
    grant = world.grant()
    disable(world, world.alice)
    enabled = enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    assert (enabled.is_active, enabled.disabled_at) == (True, None)
    assert fresh(grant).state == GrantState.REVOKING
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", None, world.now)) == []
    assert events("alice")[-2:] == ["identity.disabled", "identity.enabled"]


def test_enabling_brings_back_no_sign_in_and_no_token(world, client):
    client.force_login(world.alice)
    token = create_token(
        identity_id=world.alice.pk,
        label="cli",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=world.now,
    )[1]
    asked = {"headers": {"Authorization": f"Bearer {token}"}}
    assert client.get("/account/").status_code == Client().get("/api/v1/me", **asked).status_code == 200
    disable(world, world.alice)
    enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    assert last("identity.disabled", "alice").data["tokens_revoked"] == 1
    assert client.get("/account/")["Location"].startswith("/sign-in/")
    assert Client().get("/api/v1/me", **asked).status_code == 401


OTHERS = ["alice", "bob", "robot"]


def test_only_administrators_do_it(world):
    for who in OTHERS:
        actor = getattr(world, who)
        for verb in (disable_identity, enable_identity):
            with pytest.raises(OnlyAdministrators):
                verb(identity_id=world.charlie.pk, actor=actor, now=world.now)


def test_nobody_disables_themselves_or_somebody_who_is_not_there(world):
    with pytest.raises(InvalidInput):
        disable(world, world.admin)
    with pytest.raises(NotFound):
        disable_identity(identity_id=0, actor=world.admin, now=world.now)


def test_somebody_who_types_meanwhile_does_not_hold_it_up(live_world, owner_connection):
    first, second = live_world.grant(), live_world.grant()
    used, opened = enter(second, now=live_world.now)
    assert first.pk < second.pk
    with transaction.atomic():
        assert isinstance(disable(live_world, live_world.alice), Identity)
        typed = Started(lambda: run(used, opened, now=live_world.now))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(typed.result(), GrantIsOver), typed.result()


def test_a_request_to_somebody_who_is_disabled_meanwhile_does_not_hold_it_up(live_world, owner_connection):
    with transaction.atomic():
        live_world.request()
        disabled = Started(lambda: disable(live_world, live_world.bob)).result()
    assert isinstance(disabled, Identity), disabled


def test_doing_it_twice_changes_nothing(world):
    disable(world, world.alice)
    before = events()
    disable(world, world.alice)
    enable_identity(identity_id=world.bob.pk, actor=world.admin, now=world.now)
    assert events() == before
