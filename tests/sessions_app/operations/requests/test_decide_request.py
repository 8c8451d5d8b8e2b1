"""Verdicts: whose counts, on what, and what they come to."""

import pytest

from accounts.factors import ProofNeeded, SignInNeeded
from accounts.operations.create_identity import create_identity
from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest, Approval, Grant, Notice, RequestState, Target
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide, ScopeChanged
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.queries.requests.extents import left_digest
from tests.support.world.acts import after, at_once, change, events, intact, last, policy
from tests.support.world.world import SETUP, make_world

TWO = [{"count": 2, "from": ["approvers"]}]


def state(request: AccessRequest) -> str:
    request.refresh_from_db()
    return request.state


def test_an_approval_makes_the_grant_and_is_recorded_with_its_digest(world):
    request = world.request()
    decided = world.decide(request, comment=" fine ")
    grant = Grant.objects.get(request=request)
    assert (decided.state, decided.decided_at) == (RequestState.APPROVED, world.now)
    assert (grant.starts_at, grant.expires_at) == (world.now, after(world, hours=1))
    approval = Approval.objects.get()
    assert (approval.approver, approval.digest, approval.comment) == (world.bob, request.digest, "fine")
    entry = last("request.approved", request.ref)
    assert entry.actor == "bob"
    assert entry.data["digest"] == request.digest
    assert events(grant.ref) == ["grant.scheduled"]
    assert Notice.objects.filter(identity=world.alice, event="request.approved").count() == 1
    assert intact()


def test_a_denial_closes_the_request_and_needs_a_comment(world):
    request = world.request()
    with pytest.raises(InvalidInput, match="comment is required"):
        world.decide(request, verdict="deny", comment=" ")
    assert state(request) == RequestState.PENDING
    assert not Approval.objects.exists()
    world.decide(request, verdict="deny", comment="not tonight")
    assert state(request) == RequestState.DENIED
    assert last("request.denied", request.ref).data["comment"] == "not tonight"
    assert not Grant.objects.exists()
    with pytest.raises(AlreadyDecided):
        world.decide(request, world.dora)


def test_two_of_two_need_two_people(world):
    change(world, policy(world, approvals=TWO))
    request = world.request()
    world.decide(request)
    assert state(request) == RequestState.PENDING
    assert last("request.approved", request.ref).data["missing"] == 1
    world.decide(request)
    assert state(request) == RequestState.PENDING
    world.decide(request, world.dora)
    assert state(request) == RequestState.APPROVED


def test_the_same_verdict_twice_changes_nothing(world):
    request = world.request()
    world.decide(request)
    before = events()
    assert world.decide(request).state == RequestState.APPROVED
    assert events() == before
    assert Approval.objects.count() == Grant.objects.count() == 1


def test_an_approver_may_turn_an_approval_into_a_denial_until_it_is_settled(world):
    change(world, policy(world, approvals=TWO))
    request = world.request()
    world.decide(request)
    world.decide(request, verdict="deny", comment="I looked again")
    assert state(request) == RequestState.DENIED
    assert Approval.objects.filter(voided_at__isnull=True).count() == 1


def test_a_denial_can_not_be_turned_into_an_approval(world):
    request = world.request()
    world.decide(request, verdict="deny", comment="no")
    with pytest.raises(AlreadyDecided):
        world.decide(request)
    assert state(request) == RequestState.DENIED


# Nobody approves their own.


def as_approvers(world, *names: str) -> None:
    change(world, {"groups/approvers.yaml": f"name: approvers\nmembers: [{', '.join(names)}]\n"})


def test_nobody_decides_their_own_request_also_as_an_approver(world):
    as_approvers(world, "alice", "bob")
    request = world.request()
    for verdict in ("approve", "deny"):
        with pytest.raises(MayNotDecide, match="your own request"):
            world.decide(request, world.alice, verdict, comment="mine")
    assert state(request) == RequestState.PENDING


def test_an_administrator_does_not_decide_his_own_and_has_no_say_by_his_office(world):
    request = world.request()
    with pytest.raises(MayNotDecide, match="Only people in approvers"):
        world.decide(request, world.admin)
    change(world, {"groups/operators.yaml": "name: operators\nmembers: [alice, admin]\n"})
    as_approvers(world, "admin", "bob")
    own = world.request(world.admin)
    with pytest.raises(MayNotDecide, match="your own request"):
        world.decide(own, world.admin)


def test_a_second_account_with_the_same_address_is_the_same_person(world):
    create_identity(username="alice2", email="ALICE@example.com", actor=SETUP, now=world.now)
    as_approvers(world, "alice2", "bob")
    from accounts.models import Identity

    with pytest.raises(MayNotDecide, match="same person"):
        world.decide(world.request(), Identity.objects.get(username="alice2"))


def test_an_owner_does_not_approve_what_the_machine_asks(world):
    as_approvers(world, "alice", "bob")
    with pytest.raises(MayNotDecide, match="own the requesting machine"):
        world.decide(world.request(world.robot), world.alice)


def test_a_machine_never_decides_not_even_for_others(world):
    as_approvers(world, "robot", "deployer", "bob")
    change(world, {"groups/operators.yaml": "name: operators\nmembers: [charlie]\n"})
    request = world.request(world.charlie)
    for machine in (world.robot, world.deployer):
        with pytest.raises(MayNotDecide, match="only people"):
            world.decide(request, machine)


def test_a_disabled_approver_has_no_say(world):
    request = world.request()
    type(world.bob).objects.filter(pk=world.bob.pk).update(is_active=False)
    with pytest.raises(MayNotDecide, match="disabled"):
        world.decide(request)


def test_an_approval_is_not_counted_after_its_giver_lost_the_right(world):
    change(world, policy(world, approvals=TWO))
    erin = create_identity(
        username="erin", email="erin@example.com", groups=["approvers"], actor=SETUP, now=world.now
    )
    request = world.request()
    world.decide(request)
    as_approvers(world, "dora", "erin")
    world.decide(request, world.dora)
    assert state(request) == RequestState.PENDING
    world.decide(request, erin)
    assert state(request) == RequestState.APPROVED


# What was approved is what is enforced.


def test_a_verdict_on_another_digest_is_not_counted(world):
    request = world.request()
    for digest in ("", "0" * 64, request.digest.upper()):
        with pytest.raises(ScopeChanged):
            world.decide(request, digest=digest)
    assert state(request) == RequestState.PENDING


@pytest.mark.parametrize(
    "change",
    [
        {"address": "10.9.9.9"},
        {"port": 2299},
        {"account": "other"},
        {"host_key": "ssh-ed25519 BBBB"},
        {"removed": 1},
    ],
)
def test_a_change_of_a_target_behind_the_request_voids_it(world, change):
    request = world.request()
    if change.pop("removed", None):
        change["removed_at"] = world.now
    Target.objects.filter(name="web-2").update(**change)
    with pytest.raises(ScopeChanged):
        world.decide(request)


def test_a_new_version_of_the_command_set_does_not_slip_into_an_old_request(world):
    request = world.request()
    changed = world.catalog["command-sets/restart-web.yaml"].replace(
        "echo stop {unit}", "echo destroy {unit}"
    )
    change(world, {"command-sets/restart-web.yaml": changed})
    world.decide(request)
    grant = Grant.objects.get(request=request)
    assert grant.command_set_version_id == request.command_set_version_id
    assert grant.command_set_version.number == 1


def test_the_policy_is_asked_again_when_the_request_is_approved(world):
    request = world.request()
    change(world, policy(world, max_duration="30m"))
    with pytest.raises(RequestRefused, match="exceeds the limit of 30 min"):
        world.decide(request)
    assert state(request) == RequestState.PENDING


def test_a_policy_that_can_not_be_read_approves_nothing(world):
    from broker.kernel.errors import StintError
    from sessions_app.models import AccessPolicy

    request = world.request()
    AccessPolicy.objects.update(document={})
    with pytest.raises(StintError, match="can't be read"):
        world.decide(request)
    assert state(request) == RequestState.PENDING


def test_a_request_that_lapsed_is_not_decided_also_before_the_sweep_saw_it(world):
    request = world.request()
    with pytest.raises(AlreadyDecided, match="expired"):
        world.decide(request, now=request.lapses_at)


# Making it smaller.


def test_an_approver_makes_it_smaller_and_the_grant_is_that(world):
    request = world.request()
    web_1 = Target.objects.get(name="web-1")
    world.decide(request, narrowing={"duration": 600, "commands": [1], "targets": [web_1.pk]})
    grant = Grant.objects.get()
    assert grant.expires_at == after(world, seconds=600)
    assert grant.commands == [1]
    assert list(grant.targets.all()) == [web_1]
    assert last("request.narrowed", request.ref).data == {
        "duration": 600,
        "commands": [1],
        "targets": [web_1.pk],
    }


def test_a_second_approval_that_leaves_less_is_refused_and_not_taken_for_a_repeat(world):
    change(world, policy(world, approvals=TWO))
    request = world.request()
    world.decide(request)
    with pytest.raises(AlreadyDecided, match="with another scope, which still counts"):
        world.decide(request, narrowing={"duration": 600})
    world.decide(request, narrowing={"duration": None})
    assert [one.narrowing for one in request.approvals.all()] == [{}]


def test_an_approval_that_leaves_nothing_in_common_with_another_is_refused_before_it_is_the_last(world):
    three = policy(world, approvals=[{"count": 3, "from": ["approvers"]}])
    change(world, {**three, "groups/approvers.yaml": "name: approvers\nmembers: [bob, dora, charlie]\n"})
    request = world.request()
    world.decide(request, narrowing={"commands": [0]})
    with pytest.raises(InvalidInput, match="in common"):
        world.decide(request, world.dora, narrowing={"commands": [1]})
    assert request.approvals.count() == 1


NO_NARROWINGS = [
    {"duration": 7200},
    {"commands": [0, 9]},
    {"targets": []},
    {"until": "x"},
    {"token": "x"},
]


def test_a_narrowing_that_is_none_is_refused_and_nothing_is_approved(world):
    for narrowing in NO_NARROWINGS:
        request = world.request()
        with pytest.raises(InvalidInput):
            world.decide(request, narrowing=narrowing)
        assert not Approval.objects.exists()
        assert state(request) == RequestState.PENDING


ODD_VERDICTS = [("APPROVE", ""), ("", ""), ("maybe", "x"), ("approve", "a\0b"), ("approve", "x" * 4001)]


def test_an_odd_verdict_is_refused(world):
    for verdict, comment in ODD_VERDICTS:
        request = world.request()
        with pytest.raises(InvalidInput):
            world.decide(request, verdict=verdict, comment=comment)
        assert state(request) == RequestState.PENDING


def test_where_the_policy_requires_it_an_approver_confirms_who_they_are_first(world):
    world.apply(policy(world, confirmation="required"))
    request = world.request()
    with pytest.raises(SignInNeeded):
        world.decide(request)
    world.bob.proven_at = after(world, minutes=-6)
    with pytest.raises(ProofNeeded):
        world.decide(request)
    assert world.decide(world.request(), verdict="deny", comment="No").state == RequestState.DENIED
    world.bob.proven_at = after(world, minutes=-4)
    assert world.decide(request).state == RequestState.APPROVED


# At the same moment.


@pytest.fixture
def two_of_two(stint_db):
    from broker.kernel import clock
    from tests.support.world.world import CATALOG

    clock.sync()
    one = CATALOG["policies/web-work.yaml"].replace("{count: 1,", "{count: 2,")
    return make_world(clock.now(), {"policies/web-work.yaml": one})


def test_approve_and_deny_at_the_same_moment_never_make_a_grant_of_a_denied_request(two_of_two):
    world = two_of_two
    for _ in range(5):
        request = world.request()
        at_once(
            lambda request=request: world.decide(request),
            lambda request=request: world.decide(request, world.dora, "deny", comment="no"),
        )
        assert state(request) == RequestState.DENIED
    assert not Grant.objects.exists()


def test_two_approvals_at_once_make_one_grant(two_of_two):
    world = two_of_two
    for _ in range(5):
        request = world.request()
        at_once(
            lambda request=request: world.decide(request),
            lambda request=request: world.decide(request, world.dora),
        )
        assert state(request) == RequestState.APPROVED
        assert Grant.objects.filter(request=request).count() == 1
        assert events(request.ref).count("request.approved") == 2
    assert intact()


def test_a_double_click_and_a_replayed_form_are_one_verdict(live_world):
    request = live_world.request()
    results = at_once(*[lambda: live_world.decide(request)] * 4)
    assert [result.state for result in results] == [RequestState.APPROVED] * 4
    assert Approval.objects.count() == Grant.objects.count() == 1
    assert events(request.ref) == ["request.created", "request.approved"]


def test_an_approval_of_more_than_another_left_meanwhile_is_not_counted(world):
    world.apply(policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    as_read = left_digest(request)
    world.decide(request, narrowing={"duration": 600})
    with pytest.raises(ScopeChanged, match="reduced the scope while you were reading"):
        world.decide(request, world.dora, left=as_read)
    assert request.approvals.count() == 1
    world.decide(request, world.dora, left=left_digest(request))
    grant = Grant.objects.get()
    assert (grant.expires_at - grant.starts_at).total_seconds() == 600


def test_a_denial_counts_whatever_another_left_of_it(world):
    world.apply(policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    as_read = left_digest(request)
    world.decide(request, narrowing={"duration": 600})
    assert world.decide(request, world.dora, "deny", comment="No", left=as_read).state == "denied"
