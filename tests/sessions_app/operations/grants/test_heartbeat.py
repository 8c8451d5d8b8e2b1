"""Grants that need a heartbeat."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import EndReason, Grant, GrantState
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.heartbeat import NoHeartbeat, NotItsHolder, heartbeat
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.record_refused_request import why_over
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.queries.grants.current import grants_now
from tests.support.world.acts import after, change, fresh, last, policy, session, use


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


def test_who_was_silent_for_too_long_may_do_nothing_although_nobody_has_ended_it_yet(world, grant):
    def usable(at):
        now = after(world, seconds=at)
        return authorize_use(by=ByHolder(world.alice.pk, "web-1", None, now))

    (in_time,) = usable(89)
    assert usable(90) == []
    # Nor does what was asked for a moment before begin.
    with pytest.raises(GrantIsOver):
        session(in_time, now=after(world, seconds=90))
    assert fresh(grant).state == GrantState.ACTIVE


def test_what_was_delegated_is_over_with_the_heartbeats_above_although_nobody_has_ended_it_yet(world):
    change(
        world,
        policy(world, heartbeat="30s", delegation={"depth": 2, "to": {"identities": ["deployer", "robot"]}}),
    )
    top = below = world.grant()
    for who in (world.deployer, world.robot):
        part = Part(identity=who.username, command_set="restart-web", parameters={})
        made = delegate_grant(grant_id=below.pk, actor=below.holder, part=part, now=world.now)
        below = provision_grant(grant_id=made.pk, now=world.now)
        heard(world, below, 60, who)
    held, over = use(below, now=after(world, seconds=89)), after(world, seconds=90)
    assert grants_now([below.pk], after(world, seconds=89))[below.pk].live

    assert authorize_use(by=ByHolder(below.holder_id, "web-1", None, over)) == []
    with pytest.raises(GrantIsOver):
        session(held, now=over)
    with pytest.raises(GrantIsOver):
        heard(world, below, 90, world.robot)
    # So a gateway cuts what is open there.
    (state,) = grants_now([below.pk], over).values()
    assert (state.live, state.cut) == (False, True)
    assert not Grant.objects.in_use(over).filter(pk__in=[top.pk, below.pk]).exists()
    below.refresh_from_db()
    assert why_over(below, over) == "the grant that it was delegated from is over"


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
