"""Grants that need a heartbeat."""

from __future__ import annotations

import pytest
import yaml

from broker.kernel.errors import NotFound
from sessions_app.models import EndReason, GrantState
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.heartbeat import NoHeartbeat, NotItsHolder, heartbeat
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.policy.policies import PolicyDocument
from tests.support.world.acts import after, change, last, policy, session


@pytest.fixture
def grant(world):
    change(world, policy(world, heartbeat="30s"))
    return world.grant()


def heard(world, grant, at, who=None):
    return heartbeat(grant_id=grant.pk, actor=who or world.alice, now=after(world, seconds=at))


def swept(world, grant, at):
    sweep(now=lambda: after(world, seconds=at), name="test")
    grant.refresh_from_db()
    return grant.state, grant.end_reason


def test_it_is_counted_from_the_start_and_from_each_beat(world, grant):
    assert (grant.heartbeat_seconds, grant.heartbeat_due_at) == (30, after(world, seconds=90))
    assert heard(world, grant, 60).heartbeat_due_at == after(world, seconds=150)
    assert swept(world, grant, 149)[0] == GrantState.ACTIVE


def test_three_that_are_missed_end_it_with_a_reason_of_its_own(world, grant):
    assert swept(world, grant, 89)[0] == GrantState.ACTIVE
    assert swept(world, grant, 90) == (GrantState.REVOKING, EndReason.SILENT)
    assert last("grant.revoking", grant.ref).data["reason"] == "silent"


def test_who_was_silent_for_too_long_stays_over_although_nobody_has_ended_it_yet(world, grant):
    with pytest.raises(GrantIsOver):
        heard(world, grant, 90)
    assert swept(world, grant, 91)[1] == EndReason.SILENT
    with pytest.raises(GrantIsOver):
        heard(world, grant, 92)


def test_who_was_silent_for_too_long_may_do_nothing_although_nobody_has_ended_it_yet(world, grant):
    def usable(at):
        now = after(world, seconds=at)
        return authorize_use(by=ByHolder(world.alice.pk, "web-1", None, now))

    (in_time,) = usable(89)
    assert usable(90) == []
    # Nor does what was asked for a moment before begin.
    with pytest.raises(GrantIsOver):
        session(in_time, now=after(world, seconds=90))
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_only_its_holder_keeps_it_alive(world, grant):
    for who in (world.bob, world.admin):
        with pytest.raises(NotItsHolder):
            heard(world, grant, 1, who)
    with pytest.raises(NotFound):
        heard(world, grant, 1, world.charlie)


def test_a_grant_that_needs_none_lives_without(world):
    grant = world.grant()
    assert (grant.heartbeat_seconds, grant.heartbeat_due_at) == (None, None)
    with pytest.raises(NoHeartbeat):
        heard(world, grant, 1)
    assert swept(world, grant, 3000)[0] == GrantState.ACTIVE


def test_policies_that_were_written_before_keep_their_digest(world):
    stored = PolicyDocument.model_validate(yaml.safe_load(world.catalogue["policies/web-work.yaml"]))
    dumped = stored.model_dump(mode="json", by_alias=True)
    assert not {"heartbeat", "delegation"} & dumped.keys()
