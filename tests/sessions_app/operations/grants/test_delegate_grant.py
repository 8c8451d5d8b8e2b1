"""A holder hands on a part of a grant."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import AccessRequest, EndReason, Grant, GrantState
from sessions_app.operations.grants.delegate_grant import NotItsHolder, NotWithin, Part, delegate_grant
from sessions_app.operations.grants.end_all_of import end_all_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.requests.extend_grant import MayNotExtend, extend_grant
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.queries.requests.deciders import deciders_in
from tests.support.world.acts import TRIAGE, after, at_once, change, fresh, last, policy, run, session, use

TERMS = {"delegation": {"depth": 2, "to": {"identities": ["robot", "deployer", "charlie"]}}}
NARROW = """
name: restart-nginx
kind: ssh
summary: Restart nginx alone
risk: medium
commands:
  - run: echo restart nginx
    effect: change
examples:
  allow: ["echo restart nginx"]
  refuse: ["echo restart haproxy"]
"""


@pytest.fixture
def grant(world):
    files = {"command-sets/restart-nginx.yaml": NARROW, "command-sets/triage.yaml": TRIAGE}
    change(world, {**files, **policy(world, **TERMS)})
    return world.grant()


def hand_on(world, grant, who=None, *, actor=None, now=None, start=True, **changes):
    part = {
        "identity": (who or world.deployer).username,
        "command_set": "restart-web",
        "parameters": {},
        **changes,
    }
    made = delegate_grant(
        grant_id=grant.pk, actor=actor or world.alice, part=Part(**part), now=now or world.now
    )
    return provision_grant(grant_id=made.pk, now=now or world.now) if start else made


def test_a_part_is_usable_by_whom_it_was_handed_to_without_another_approval(world, grant):
    child = hand_on(world, grant, command_set="restart-nginx", targets=("web-1",), duration=600)
    assert (child.state, child.holder, child.parent) == (GrantState.ACTIVE, world.deployer, grant)
    assert child.expires_at == after(world, minutes=10)
    used = use(child, now=world.now)
    assert run(used, session(used, now=world.now), now=world.now).verdict == "allowed"
    assert run(used, session(used, now=world.now), "echo log nginx 5", now=world.now).verdict == "refused"
    assert not child.request.approvals.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"unit": "haproxy"}},
        {"command_set": "triage"},
        {"targets": ("web-3",)},
        {"targets": ()},
        {"duration": 0},
        {"duration": 3601},
        {"parameters": {"other": "x"}},
    ],
)
def test_whatever_is_more_in_one_way_is_refused(world, grant, changes):
    with pytest.raises(NotWithin):
        hand_on(world, grant, **changes)
    assert Grant.objects.count() == 1
    assert AccessRequest.objects.filter(kind="delegation").count() == 0


def test_what_approvers_left_out_is_left_out_below(world, grant):
    request = world.decide(world.request(), narrowing={"commands": [1]})
    narrowed = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=world.now)
    assert hand_on(world, narrowed).commands == [1]
    with pytest.raises(NotWithin, match="not covered by the grant"):
        hand_on(world, narrowed, world.robot, command_set="restart-nginx")


def test_only_its_holder_hands_it_on_and_only_to_whom_the_policy_names(world, grant):
    with pytest.raises(NotItsHolder):
        hand_on(world, grant, actor=world.bob)
    with pytest.raises(NotFound):
        hand_on(world, grant, actor=world.charlie)
    for who in (world.bob, world.alice, world.admin):
        with pytest.raises(NotWithin, match="does not allow delegation"):
            hand_on(world, grant, who)
    change(world, policy(world, delegation=None))
    with pytest.raises(NotWithin, match="can't be delegated"):
        hand_on(world, grant)


def test_it_is_handed_on_as_often_as_the_policy_says_and_the_chain_is_in_the_record(world, grant):
    child = hand_on(world, grant)
    agent = hand_on(world, child, world.robot, actor=world.deployer)
    assert last("grant.scheduled", agent.ref).data["chain"] == [grant.ref, child.ref, agent.ref]
    assert last("grant.delegated", child.ref).data["chain"] == [grant.ref, child.ref]
    with pytest.raises(NotWithin, match="delegation level 2"):
        hand_on(world, agent, world.charlie, actor=world.robot)
    with pytest.raises(NotWithin, match="already holds this grant"):
        hand_on(world, child, world.deployer, actor=world.deployer)


def test_ending_the_first_ends_the_whole_tree_in_one_act(world, grant):
    child = hand_on(world, grant)
    agent = hand_on(world, child, world.robot, actor=world.deployer)
    waiting = hand_on(world, grant, world.charlie, start=False)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    for one, state in ((child, "revoking"), (agent, "revoking"), (waiting, "ended")):
        assert (fresh(one).state, one.end_reason, one.end_note) == (state, EndReason.PARENT_ENDED, grant.ref)


@pytest.mark.parametrize("how", ["disabled", "all of it", "its time", "work"])
def test_however_the_first_ends_nothing_is_left_below(world, grant, how):
    if how == "work":
        change(world, policy(world, **TERMS, incident={"on_call": ["on-call"], "max_duration": "1h"}))
        incident = world.incident()
        grant = world.respond(incident)
    child = hand_on(world, grant, world.charlie)
    if how == "disabled":
        disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    elif how == "all of it":
        end_all_of(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    elif how == "work":
        assert child.workflow == incident
        close_workflow(workflow_id=incident.pk, actor=world.bob, now=world.now)
    else:
        sweep(now=lambda: grant.expires_at, name="test")
    assert fresh(child).state == GrantState.REVOKING


def test_nothing_is_handed_on_of_what_is_over_or_held(world, grant):
    Grant.objects.filter(pk=grant.pk).update(held_at=world.now)
    with pytest.raises(GrantIsOver):
        hand_on(world, grant)
    Grant.objects.filter(pk=grant.pk).update(held_at=None)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        hand_on(world, grant)


def test_what_waits_for_its_start_does_not_start_when_its_ground_is_gone(world, grant):
    child = hand_on(world, grant, start=False)
    change(world, policy(world, delegation=None))
    assert provision_grant(grant_id=child.pk, now=world.now).state == GrantState.ENDED


def test_what_is_handed_on_ends_when_the_policy_lets_it_be_handed_on_no_more(world, grant):
    child = hand_on(world, grant)
    change(world, policy(world, delegation=None))
    assert (fresh(child).state, fresh(grant).state) == (GrantState.REVOKING, GrantState.ACTIVE)


def test_it_is_not_extended_by_itself(world, grant):
    child = hand_on(world, grant)
    with pytest.raises(MayNotExtend, match="delegated"):
        extend_grant(grant_id=child.pk, requester=world.deployer, seconds=60, reason="More.", now=world.now)


def test_nobody_of_the_chain_is_the_second_person_below(world, grant):
    change(
        world,
        {**policy(world, **TERMS), "groups/approvers.yaml": "name: approvers\nmembers: [bob, dora, alice]\n"},
    )
    child = hand_on(world, grant, world.charlie)
    assert [person.username for person in deciders_in(child)] == ["bob", "dora"]


def test_who_handed_it_on_sees_it_and_may_end_it_and_others_do_not(world, grant):
    child = hand_on(world, grant, world.charlie)
    for who, sees in ((world.alice, True), (world.charlie, True), (world.bob, True), (world.robot, False)):
        assert Grant.objects.visible_to(who).filter(pk=child.pk).exists() is sees
        assert Grant.objects.endable_by(who).filter(pk=child.pk).exists() is sees


def test_an_end_and_a_handing_on_at_the_same_moment_leave_nothing_behind(live_world):
    world = live_world
    change(world, {"command-sets/restart-nginx.yaml": NARROW, **policy(world, **TERMS)})
    grant = world.grant()
    at_once(
        lambda: hand_on(world, grant, start=False),
        lambda: end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now),
    )
    assert not Grant.objects.filter(parent=grant, state__in=["scheduled", "active"]).exists()


def test_a_cut_above_overrules_what_would_be_let_finish_below(world, grant):
    child = hand_on(world, grant)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now, cut=False)
    assert fresh(child).finish_until == after(world, minutes=5)
    soon = after(world, seconds=10)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=soon)
    assert (fresh(child).finish_until, child.next_attempt_at) == (soon, soon)
    assert last("grant.revoking", child.ref).data["cut"] is True
