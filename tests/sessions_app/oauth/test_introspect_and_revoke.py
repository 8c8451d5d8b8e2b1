"""Asking about tokens, and giving them up."""

import datetime as dt

import pytest

from accounts.models import Identity
from sessions_app.models import Cluster, Grant
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.api_site import add_site, grant_on_site, token_of

INACTIVE = {"active": False}


def test_one_asks_about_ones_own_tokens_and_those_of_ones_machines(oauth, world):
    mine, robots = token_for(world.alice, world.now), token_for(world.robot, world.now, "read")
    told = oauth("introspect", mine, token=robots).body
    assert told == {
        "active": True,
        "scope": "read",
        "username": "robot",
        "sub": "robot",
        "token_type": "Bearer",
        "exp": told["exp"],
        "iat": int(world.now.timestamp()),
    }
    assert oauth("introspect", mine, token=mine).body["active"] is True
    assert oauth("introspect", token_for(world.admin, world.now), token=robots).body["active"] is True


def test_tokens_of_others_unknown_ones_and_dead_ones_are_one_answer(oauth, world):
    mine, others, dead = (token_for(who, world.now) for who in (world.alice, world.bob, world.alice))
    oauth("revoke", token=dead)
    for token in (others, "stint_nothing", dead, "ä" * 100):
        answer = oauth("introspect", mine, token=token)
        assert (answer.status_code, answer.body) == (200, INACTIVE)
    assert oauth("introspect", token_for(world.robot, world.now), token=mine).body == INACTIVE


@pytest.mark.parametrize(
    "change",
    [
        lambda grant, now: Grant.objects.filter(pk=grant.pk).update(held_at=now),
        lambda grant, now: Grant.objects.filter(pk=grant.pk).update(
            heartbeat_due_at=now - dt.timedelta(seconds=1)
        ),
        lambda grant, now: Identity.objects.filter(pk=grant.holder_id).update(is_active=False),
        lambda grant, now: Identity.objects.filter(pk=grant.holder.owner_id).update(is_active=False),
        lambda grant, now: Cluster.objects.filter(pk=grant.cluster_id).update(removed_at=now),
    ],
    ids=["held", "silent", "holder disabled", "owner disabled", "cluster removed"],
)
def test_the_token_of_a_grant_is_not_active_where_no_gateway_would_take_it(oauth, world, change):
    add_site(world)
    grant = grant_on_site(world, who=world.robot)
    text, reader = token_of(grant, world, actor=world.robot), token_for(world.admin, world.now)
    assert oauth("introspect", reader, token=text).body["active"] is True
    change(grant, world.now)
    assert oauth("introspect", reader, token=text).body == INACTIVE


def test_a_stranger_asks_about_nothing(oauth, world):
    mine = token_for(world.alice, world.now)
    for token in ("", "stint_nothing"):
        answer = oauth("introspect", token, token=mine)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="Stint"')


def test_whoever_has_a_token_revokes_it_and_hears_the_same_for_any_other(oauth, world):
    mine = token_for(world.alice, world.now)
    for _ in range(2):
        answer = oauth("revoke", token=mine, token_type_hint="access_token")
        assert (answer.status_code, answer.content) == (200, b"")
    assert oauth("revoke", token="stint_nothing").status_code == 200
    assert Caller(world.alice, mine).get("/me").status_code == 401
    missing = oauth("revoke")
    assert (missing.status_code, missing.body["error"]) == (400, "invalid_request")
