"""Ending all that one identity holds."""

import pytest

from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.end_all_of import NothingToEnd, end_all_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from tests.support.world.acts import after, events, intact, last


def end_all(world, who, actor, **more) -> list[Grant]:
    return end_all_of(identity_id=who.pk, actor=actor, now=world.now, **more)


def test_an_approver_revokes_all_that_somebody_holds_and_they_stay_enabled(world):
    running, coming = world.grant(), world.grant(start=False, starts_at=after(world, hours=2))
    ended = end_all(world, world.alice, world.bob, note="Laptop lost")
    assert [grant.ref for grant in ended] == [running.ref, coming.ref]
    for grant, state in ((running, "revoking"), (coming, "ended")):
        grant.refresh_from_db()
        assert (grant.state, grant.end_reason, grant.ended_by) == (state, EndReason.REVOKED, world.bob)
        assert grant.finish_until is None
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", None, world.now)) == []
    world.alice.refresh_from_db()
    assert world.alice.is_active
    entry = last("identity.grants_ended", "alice")
    assert entry.data == {"grants": [running.ref, coming.ref], "note": "Laptop lost"}
    assert entry.actor == "bob"
    assert intact()


def test_ones_own_are_released_and_machines_keep_theirs(world):
    own = world.grant()
    world.decide(world.request(world.robot))
    end_all(world, world.alice, world.alice)
    own.refresh_from_db()
    assert own.end_reason == EndReason.RELEASED
    assert Grant.objects.not_ended().filter(holder=world.robot).count() == 1
    end_all(world, world.robot, world.alice)
    assert not Grant.objects.not_ended().filter(holder=world.robot).exists()


def test_it_cuts_what_was_let_finish(world):
    grant = world.grant()
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now, cut=False)
    end_all(world, world.alice, world.bob)
    grant.refresh_from_db()
    assert grant.finish_until == world.now
    assert last("identity.grants_ended", "alice").data["grants"] == []


def test_who_may_end_nothing_of_it_ends_nothing_and_is_told_no_more(world):
    grant = world.grant()
    for actor, who in ((world.charlie, world.alice), (world.bob, world.dora), (world.alice, world.bob)):
        with pytest.raises(NothingToEnd):
            end_all(world, who, actor)
    with pytest.raises(NothingToEnd):
        end_all_of(identity_id=999_999, actor=world.admin, now=world.now)
    grant.refresh_from_db()
    assert grant.state == "active"
    assert "identity.grants_ended" not in events("alice")
