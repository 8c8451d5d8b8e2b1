"""Suspending a grant: nothing new begins, and what runs goes on."""

from functools import partial

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.errors import NotFound
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, Notice, RunState
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.suspend_grant import (
    AlreadySuspended,
    NotActive,
    NotSuspendable,
    is_suspendable,
    suspend_grant,
)
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.decide_hold import GrantSuspended, decide_hold
from sessions_app.operations.sessions.open_session import GrantIsHeld, GrantIsOver
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.queries.grants.current import grants_now
from sessions_app.queries.grants.receipts import receipt
from tests.support.world.acts import at_once, change, enter, fresh, last, policy, run, use


def suspend(world, grant, actor, note="Wrong host"):
    return suspend_grant(grant_id=grant.pk, actor=actor, note=note, now=world.now)


def test_nothing_new_begins_and_what_runs_goes_on(world):
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    going_on = run(used, opened, "echo restart nginx", now=world.now)
    suspend(world, grant, world.bob)
    with pytest.raises(GrantIsHeld, match="was suspended by Bob: Wrong host"):
        run(used, opened, "echo restart nginx", now=world.now)
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", None, world.now)) == []
    assert CommandRun.objects.get(pk=going_on.run_id).state == RunState.RUNNING
    release_grant(grant_id=grant.pk, actor=world.dora, now=world.now)
    assert run(used, opened, "echo restart nginx", now=world.now).verdict == "allowed"


def test_the_record_the_receipt_and_both_sides_learn_who_and_why(world):
    grant = world.grant()
    suspend(world, grant, world.bob)
    entry = last("grant.held", grant.ref)
    assert (entry.actor, entry.data) == ("bob", {"note": "Wrong host"})
    notices = {one.identity.username: one for one in Notice.objects.filter(event="grant.held")}
    assert {name: one.asks for name, one in notices.items()} == {"alice": "", "dora": "release"}
    assert all("Wrong host" in one.body and "by Bob" in one.subject for one in notices.values())
    release_grant(grant_id=grant.pk, actor=world.dora, now=world.now)
    (said,) = receipt(fresh(grant), world.now)["suspended"]
    assert [said[name] for name in ("by", "why", "resumed_by")] == ["bob", "Wrong host", "dora"]


@pytest.mark.parametrize("who", ["alice", "bob", "dora", "admin"])
def test_whoever_may_end_it_may_suspend_it(world, who):
    assert suspend(world, world.grant(), getattr(world, who)).held_by == getattr(world, who)


def test_others_may_not(world):
    with pytest.raises(NotFound):
        suspend(world, world.grant(), world.charlie)


def test_what_was_delegated_from_it_is_suspended_with_it_and_does_not_end(world):
    change(world, policy(world, delegation={"depth": 1, "to": {"identities": ["deployer"]}}))
    grant = world.grant()
    part = Part(identity="deployer", command_set="restart-web", parameters={})
    child = delegate_grant(grant_id=grant.pk, actor=world.alice, part=part, now=world.now)
    used = use(provision_grant(grant_id=child.pk, now=world.now), now=world.now)
    opened = enter(child, now=world.now)[1]
    suspend(world, grant, world.bob)
    with pytest.raises(GrantIsHeld, match=f"was delegated from {grant.ref}, which was suspended by Bob"):
        run(used, opened, "echo restart nginx", now=world.now)
    # What runs there goes on, too.
    now_there = grants_now([child.pk], world.now)[child.pk]
    assert (now_there.live, now_there.cut, fresh(child).state) == (True, False, GrantState.ACTIVE)
    release_grant(grant_id=grant.pk, actor=world.bob, now=world.now)
    assert run(used, opened, "echo restart nginx", now=world.now).verdict == "allowed"


def test_a_waiting_command_is_denied_but_not_allowed_while_its_grant_is_suspended(world):
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    held = run(used, opened, "echo stop nginx", now=world.now)
    suspend(world, grant, world.bob)
    with pytest.raises(GrantSuspended):
        decide_hold(run_id=held.run_id, actor=world.dora, allow=True, now=world.now)
    decide_hold(run_id=held.run_id, actor=world.dora, allow=False, now=world.now)


def test_what_was_allowed_before_does_not_run_until_the_grant_is_resumed(world):
    change(world, policy(world, delegation={"depth": 1, "to": {"identities": ["deployer"]}}))
    grant = world.grant()
    part = Part(identity="deployer", command_set="restart-web", parameters={})
    child = delegate_grant(grant_id=grant.pk, actor=world.alice, part=part, now=world.now)
    below = provision_grant(grant_id=child.pk, now=world.now)
    for one in (grant, below):
        used, opened = enter(one, now=world.now)
        held = run(used, opened, "echo stop nginx", now=world.now)
        decide_hold(run_id=held.run_id, actor=world.dora, allow=True, now=world.now)
        asked = {"use": used, "run_id": held.run_id, "line": held.line, "decision": held.decision}
        suspend(world, grant, world.bob)
        with pytest.raises(GrantIsHeld):
            release_held(**asked, now=world.now)
        release_grant(grant_id=grant.pk, actor=world.bob, now=world.now)
        assert release_held(**asked, now=world.now).verdict == "allowed"


def test_no_command_is_recorded_after_a_suspension_that_it_races_with(live_world):
    world = live_world
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    tries = [partial(run, used, opened, "echo restart nginx", now=world.now)] * 20
    results = at_once(*tries[:10], partial(suspend, world, grant, world.bob), *tries[10:])
    recorded = list(
        AuditEntry.objects.filter(object_ref=grant.ref).order_by("seq").values_list("event", flat=True)
    )
    assert "grant.held" in recorded
    assert "command.allowed" not in recorded[recorded.index("grant.held") :]
    ran = [one for one in results if isinstance(one, Tried)]
    assert len(ran) == CommandRun.objects.filter(grant=grant).count() == recorded.count("command.allowed")
    assert all(isinstance(one, Tried | Grant | GrantIsHeld) for one in results), results


def test_an_order_from_its_page_is_refused_and_one_that_waits_says_why_it_does_not_run(world):
    grant = world.grant()
    asked = {"grant_id": grant.pk, "actor": world.alice, "target": "web-1", "index": 0, "now": world.now}
    order = order_command(**asked, values={})
    suspend(world, grant, world.bob)
    node = renew_gateway(name="one", version="1", now=world.now).id
    claimed = claim_order(order_id=order.pk, gateway_id=node, now=world.now)
    assert (claimed.use, claimed.suspended) == (None, f"{grant.ref} was suspended by Bob: Wrong host.")
    with pytest.raises(GrantIsOver, match="was suspended by Bob"):
        order_command(**asked, values={})


def test_it_ends_as_before(world):
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    suspend(world, grant, world.bob)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
    assert fresh(grant).state == GrantState.REVOKING
    with pytest.raises(GrantIsOver, match="has ended"):
        run(used, opened, "echo restart nginx", now=world.now)


def test_only_an_active_grant_that_is_not_suspended_yet_can_be(world):
    grant = world.grant()
    suspend(world, grant, world.bob)
    with pytest.raises(AlreadySuspended, match="was suspended by Bob"):
        suspend(world, grant, world.dora)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(NotActive):
        suspend(world, grant, world.bob)


@pytest.mark.parametrize(
    ("kind", "connection"), [("postgres", {}), ("mariadb", {}), ("kubernetes", {"direct": True})]
)
def test_access_that_its_holder_uses_without_stint_is_not_said_to_be_suspended(world, kind, connection):
    grant = world.grant()
    grant.cluster.kind, grant.cluster.connection = kind, connection
    grant.cluster.save()
    assert not is_suspendable(Grant.objects.get(pk=grant.pk))
    with pytest.raises(NotSuspendable):
        suspend(world, grant, world.bob)
