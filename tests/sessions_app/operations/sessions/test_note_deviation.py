"""Too much else is tried with a grant."""

import pytest
from django.db import transaction

from broker.audit.models import AuditBacklog
from sessions_app.models import CommandRun, EndReason, Grant, GrantState, Notice
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.open_session import GrantIsHeld, GrantIsOver
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.policy import policies
from tests.support.world.acts import (
    Started,
    change,
    enter,
    events,
    fresh,
    last,
    policy,
    run,
    session,
    use,
    wait_for_waiters,
)


@pytest.fixture
def limited(world):
    change(world, policy(world, deviations={"limit": 3}))
    return world


def tries(world, grant, count: int):
    used, opened = enter(grant, now=world.now)
    for number in range(count):
        run(used, opened, f"echo restart sshd{number}", now=world.now)
    return used, opened


def test_a_person_s_grant_is_held_and_nothing_more_runs(limited):
    grant = limited.grant()
    used, opened = tries(limited, grant, 3)
    assert (fresh(grant).state, grant.held_at) == (GrantState.ACTIVE, limited.now)
    with pytest.raises(GrantIsHeld, match="too many refused"):
        run(used, opened, "echo restart nginx", now=limited.now)
    assert authorize_use(by=ByHolder(limited.alice.pk, "web-1", None, limited.now)) == []
    assert last("grant.held", grant.ref).data["tried"] == [f"echo restart sshd{n}" for n in range(3)]


def test_a_machine_s_grant_ends(limited):
    grant = limited.grant(who=limited.robot)
    tries(limited, grant, 3)
    assert (fresh(grant).state, grant.end_reason) == (GrantState.REVOKING, EndReason.DEVIATION)
    assert "echo restart sshd2" in grant.end_note


def test_where_the_policy_is_silent_a_machine_s_grant_ends_after_50_and_a_person_s_is_held_after_500(world):
    machines, people = world.grant(who=world.robot), world.grant()
    tries(world, machines, 49)
    assert Grant.objects.get(pk=machines.pk).state == GrantState.ACTIVE
    tries(world, machines, 1)
    assert Grant.objects.get(pk=machines.pk).end_reason == EndReason.DEVIATION
    used, opened = tries(world, people, 1)
    one = CommandRun.objects.get(grant=people)
    CommandRun.objects.bulk_create(
        CommandRun(
            grant=people, session_id=opened, target=one.target, line="x", state="refused", tried_at=world.now
        )
        for _ in range(498)
    )
    assert Grant.objects.get(pk=people.pk).held_at is None
    run(used, opened, "id", now=world.now)
    assert Grant.objects.get(pk=people.pk).held_at == world.now


def test_a_policy_may_end_a_person_s_as_well(world):
    change(world, policy(world, deviations={"limit": 1, "people": "end"}))
    grant = world.grant()
    used, opened = tries(world, grant, 1)
    assert Grant.objects.get(pk=grant.pk).end_reason == EndReason.DEVIATION
    assert "The grant has ended." in Notice.objects.filter(event="grant.held")[0].body
    with pytest.raises(GrantIsOver):
        run(used, opened, "echo restart nginx", now=world.now)


@pytest.fixture
def handed_on(live_world):
    """A grant that one more refusal holds, and what was handed on of it."""
    terms = {"deviations": {"limit": 1}, "delegation": {"depth": 1, "to": {"identities": ["deployer"]}}}
    change(live_world, policy(live_world, **terms))
    grant = live_world.grant()
    part = Part(identity="deployer", command_set="restart-web", parameters={})
    return grant, delegate_grant(grant_id=grant.pk, actor=live_world.alice, part=part, now=live_world.now)


def test_a_refusal_that_ends_something_and_its_end_by_a_person_do_not_wait_for_each_other(
    live_world, handed_on, owner_connection
):
    grant, child = handed_on
    used, opened = enter(grant, now=live_world.now)
    with transaction.atomic():
        Grant.objects.select_for_update().get(pk=child.pk)
        worker = Started(lambda: run(used, opened, "echo restart sshd", now=live_world.now))
        wait_for_waiters(owner_connection, 1)
        # It waits with the record in nobody's hands, which an end needs.
        end_grant(grant_id=child.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=live_world.now)
    assert worker.result().verdict == "refused"
    assert fresh(child).end_reason == EndReason.REVOKED
    assert Grant.objects.get(pk=grant.pk).held_at is not None
    assert AuditBacklog.objects.count() == 0


def test_a_refusal_below_and_an_end_above_do_not_wait_for_each_other(live_world, handed_on, owner_connection):
    grant, child = handed_on
    used = use(provision_grant(grant_id=child.pk, now=live_world.now), now=live_world.now)
    opened = session(used, now=live_world.now)
    with transaction.atomic():
        Grant.objects.select_for_update().get(pk=grant.pk)
        worker = Started(lambda: run(used, opened, "echo restart sshd", now=live_world.now))
        wait_for_waiters(owner_connection, 1)
        end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=live_world.now)
    assert isinstance(worker.result(), GrantIsOver)


def hand_on(world, grant, who, actor):
    part = Part(identity=who.username, command_set="restart-web", parameters={})
    made = delegate_grant(grant_id=grant.pk, actor=actor, part=part, now=world.now)
    return provision_grant(grant_id=made.pk, now=world.now)


@pytest.fixture
def delegating(world):
    def change_to(limit):
        to = {"depth": 2, "to": {"identities": ["deployer", "robot"]}}
        change(world, policy(world, delegation=to, deviations=limit and {"limit": limit}))

    return change_to


def states(*grants):
    return [Grant.objects.get(pk=grant.pk).state for grant in grants]


def test_refusals_in_delegated_grants_count_together_and_hold_the_grant_above(world, delegating):
    delegating(3)
    grant = world.grant()
    one, two = (
        hand_on(world, grant, world.deployer, world.alice),
        hand_on(world, grant, world.robot, world.alice),
    )
    for part in (grant, one):
        tries(world, part, 1)
    assert states(grant, one, two) == [GrantState.ACTIVE] * 3
    tries(world, two, 1)
    assert fresh(grant).held_at == world.now
    assert states(grant, one, two) == [GrantState.ACTIVE, GrantState.REVOKING, GrantState.REVOKING]
    assert (fresh(one).end_reason, grant.ref in one.end_note) == (EndReason.DEVIATION, True)
    # Nor does delegating again begin the count again; a release does.
    release_grant(grant_id=grant.pk, actor=world.bob, now=world.now)
    tries(world, hand_on(world, grant, world.robot, world.alice), 2)
    assert Grant.objects.get(pk=grant.pk).held_at is None


def test_machines_below_a_person_share_the_limit_for_machines_and_only_the_branch_ends(
    world, delegating, monkeypatch
):
    delegating(None)
    monkeypatch.setattr(policies, "MACHINES_LIMIT", policies.Deviations(limit=3))
    grant = world.grant()
    one, two = (
        hand_on(world, grant, world.deployer, world.alice),
        hand_on(world, grant, world.robot, world.alice),
    )
    tries(world, grant, 3)
    tries(world, one, 2)
    assert states(grant, one, two) == [GrantState.ACTIVE] * 3
    tries(world, two, 1)
    assert states(grant, one, two) == [GrantState.ACTIVE, GrantState.ACTIVE, GrantState.REVOKING]


MARKER = "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize(
    "line", [f"rm -rf / # {MARKER}", f"{MARKER} rm -rf /", "rm -rf / \0", "rm -rf / " + "\U0001f600" * 9000]
)
def test_no_text_in_an_attempt_keeps_it_from_being_recorded_and_counted(limited, line):
    grant = limited.grant()
    used, opened = enter(grant, now=limited.now)
    for _ in range(3):
        assert run(used, opened, line, now=limited.now).verdict == "refused"
    assert fresh(grant).held_at == limited.now
    tried = [*grant.runs.values_list("line", flat=True), *last("grant.held", grant.ref).data["tried"]]
    assert len(tried) == 6
    assert all("rm -rf /" in one and MARKER not in one for one in tried)
    assert events(grant.ref).count("command.refused") == 3
