"""Asking for more time."""

import datetime as dt

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import EndReason, Grant, GrantState, Notice, RequestState
from sessions_app.operations.grants.delegate_grant import delegates_of
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided, MayNotDecide
from sessions_app.operations.requests.extend_grant import MayNotExtend, extend_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.requests.withdraw_request import withdraw_request
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    change,
    events,
    intact,
    last,
    policy,
    session,
    use,
    wait_for_waiters,
)
from tests.support.world.sources import SOURCE, is_open, speaking_for

ASKED = {"extension": {"times": 2, "by": "1h", "approvals": "same"}}


def extend(world, grant: Grant, seconds: int = 1800, who=None, *, now=None, **more):
    return extend_grant(
        grant_id=grant.pk, requester=who or world.alice, seconds=seconds, now=now or world.now, **more
    )


def end_of(grant: Grant) -> dt.datetime:
    grant.refresh_from_db()
    return grant.expires_at


def test_without_approvals_the_deadline_moves_at_once_and_no_session_is_dropped(world):
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    request = extend(world, grant, reason="not done yet")
    assert request.state == RequestState.APPROVED
    assert end_of(grant) == after(world, minutes=90)
    assert last("grant.extended", grant.ref).data["expires_at"] == grant.expires_at.isoformat()
    assert grant.sessions.get(pk=opened).closed_at is None
    assert events(request.ref) == ["request.created", "request.approved"]
    assert intact()


def test_with_approvals_the_deadline_moves_with_the_decision_and_not_before(world):
    change(world, policy(world, **ASKED))
    grant = world.grant()
    request = extend(world, grant)
    assert end_of(grant) == after(world, minutes=60)
    assert set(
        Notice.objects.filter(path=f"/approvals/{request.ref}/").values_list("identity__username", flat=True)
    ) == {"bob", "dora"}
    world.decide(request)
    assert end_of(grant) == after(world, minutes=90)
    assert last("grant.extended", grant.ref).actor == "bob"


def test_nobody_approves_the_extension_of_their_own_grant(world):
    change(
        world, {**policy(world, **ASKED), "groups/approvers.yaml": "name: approvers\nmembers: [alice, bob]\n"}
    )
    grant = world.grant()
    with pytest.raises(MayNotDecide):
        world.decide(extend(world, grant), world.alice)
    assert end_of(grant) == after(world, minutes=60)


def test_an_extension_that_nobody_approves_needs_the_approvals_of_its_grant(world):
    bob, grant = type(world.bob).objects.filter(pk=world.bob.pk), world.grant()
    bob.update(is_active=False)
    with pytest.raises(MayNotExtend, match="approvals are no longer valid"):
        extend(world, grant)
    bob.update(is_active=True)
    change(world, policy(world, **ASKED))
    bob.update(is_active=False)
    world.decide(extend(world, grant), world.dora)
    assert end_of(grant) == after(world, minutes=90)


@pytest.mark.parametrize("who", ["bob", "charlie", "admin", "robot"])
def test_others_can_not_extend_it(world, who):
    grant = world.grant()
    with pytest.raises(NotFound):
        extend(world, grant, who=getattr(world, who))
    assert end_of(grant) == after(world, minutes=60)


def test_what_is_over_can_not_be_extended(world):
    grant = world.grant()
    with pytest.raises(GrantIsOver):
        extend(world, grant, now=grant.expires_at)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        extend(world, grant)
    scheduled = world.grant(start=False)
    with pytest.raises(GrantIsOver):
        extend(world, scheduled)


def test_each_extension_and_their_number_have_the_policys_limit(world):
    grant = world.grant()
    with pytest.raises(MayNotExtend, match="at most 1 h"):
        extend(world, grant, 3601)
    extend(world, grant, 3600)
    extend(world, grant, 3600)
    with pytest.raises(MayNotExtend, match="limit of 2 extensions"):
        extend(world, grant, 1)
    assert end_of(grant) == after(world, hours=3)


def test_one_extension_waits_at_a_time_and_a_withdrawn_one_does_not_count(world):
    change(world, policy(world, extension={"times": 1, "by": "1h"}))
    grant = world.grant()
    request = extend(world, grant)
    with pytest.raises(MayNotExtend, match="waiting"):
        extend(world, grant)
    withdraw_request(request_id=request.pk, actor=world.alice, now=world.now)
    world.decide(extend(world, grant))
    with pytest.raises(MayNotExtend):
        extend(world, grant)


def test_a_policy_without_extensions_and_broken_glass_have_none(world):
    change(world, policy(world, extension=None))
    with pytest.raises(MayNotExtend):
        extend(world, world.grant())
    change(world, policy(world, extension={"times": 1, "by": "1h", "approvals": "none"}))
    from sessions_app.operations.grants.provision_grant import provision_grant

    world.request(kind="break_glass")
    glass = provision_grant(grant_id=Grant.objects.get(break_glass=True).pk, now=world.now)
    with pytest.raises(MayNotExtend):
        extend(world, glass)


def test_an_extension_stays_in_its_window_and_out_of_freezes(world):
    grant = world.grant()
    freeze = {
        "from": after(world, minutes=75).isoformat(),
        "to": after(world, hours=9).isoformat(),
        "reason": "Sale",
    }
    change(world, policy(world, freezes=[freeze]))
    with pytest.raises(MayNotExtend, match="freeze"):
        extend(world, grant)
    extend(world, grant, 900)
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    edge = after(world, minutes=90)
    window = {"days": days, "from": f"{after(world, hours=-2):%H:%M}", "to": f"{edge:%H:%M}", "zone": "UTC"}
    change(world, policy(world, freezes=[], windows=[window]))
    with pytest.raises(MayNotExtend, match="window"):
        extend(world, grant, 1800)


def test_an_extension_asked_for_before_the_end_and_approved_after_it_revives_nothing(world):
    change(world, policy(world, **ASKED))
    grant = world.grant()
    request = extend(world, grant)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        world.decide(request)
    request.refresh_from_db()
    assert request.state == RequestState.PENDING
    assert end_of(grant) == after(world, minutes=60)
    with pytest.raises(AlreadyDecided, match="expired"):
        world.decide(request, world.dora, now=after(world, minutes=60))


def test_an_approver_is_not_left_to_believe_that_an_extension_takes_commands_or_targets_away(world):
    change(world, policy(world, **ASKED))
    grant = world.grant()
    request = extend(world, grant)
    for narrowing in ({"commands": [0]}, {"targets": request.targets[:1]}):
        with pytest.raises(InvalidInput):
            world.decide(request, narrowing=narrowing)
    assert end_of(grant) == after(world, minutes=60)


@pytest.mark.parametrize(
    "changes",
    [
        {"extension": None},
        {"extension": {"times": 2, "by": "10m"}},
        {"requesters": {"groups": ["on-call-not"]}},
    ],
)
def test_the_policy_is_asked_again_when_an_extension_is_approved(world, changes):
    change(world, policy(world, **ASKED))
    grant = world.grant()
    request = extend(world, grant)
    from sessions_app.models import AccessPolicy

    wanted = {**AccessPolicy.objects.get().document, **changes}
    AccessPolicy.objects.update(document=wanted)
    if "requesters" in changes:
        AccessPolicy.objects.update(removed_at=world.now)
    with pytest.raises((MayNotExtend, RequestRefused)):
        world.decide(request)
    assert end_of(grant) == after(world, minutes=60)


def test_clicked_twice_it_is_extended_as_often_as_the_policy_allows_and_no_more(live_world):
    grant = live_world.grant()
    results = at_once(*[lambda: extend(live_world, grant, 3600)] * 4)
    assert sum(isinstance(result, MayNotExtend) for result in results) == 2
    assert end_of(grant) == after(live_world, hours=3)


def test_an_end_does_not_wait_for_the_approval_of_an_extension_and_outlasts_it(live_world, owner_connection):
    change(live_world, policy(live_world, **ASKED))
    grant = live_world.grant()
    request = extend(live_world, grant)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        decided = Started(lambda: live_world.decide(request))
        wait_for_waiters(owner_connection, 1)
        end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=live_world.now)
    assert not isinstance(decided.result(), Exception), decided.result()
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, EndReason.REVOKED)


@pytest.mark.parametrize(("role", "people"), [("on_call", "on_call"), ("assignee", "assigned")])
def test_a_duty_handed_over_at_the_source_takes_no_running_access_and_still_lets_it_be_extended(
    world, role, people
):
    terms = {"workflow": {"kinds": ["incident"], "requester": role}}
    with speaking_for() as pager:
        pager.workflows["Q1"] = is_open(**{people: ("alice@example.com",)})
        world.apply({"workflow-sources/pager.yaml": SOURCE, **policy(world, **terms)})
        grant = world.grant(workflow="pager:Q1")
        pager.workflows["Q1"] = is_open(**{people: ("dora@example.com",)})
        with pytest.raises(RequestRefused, match="alice is not"):
            world.request(workflow="pager:Q1")
        extend(world, grant)
        assert end_of(grant) == after(world, minutes=90)
        change(world, policy(world, **terms, summary="In other words"))
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_what_the_policy_allows_more_of_later_is_not_part_of_what_was_approved(world):
    request = world.request()
    change(
        world,
        policy(
            world,
            extension={"times": 9, "by": "3h", "approvals": "none"},
            delegation={"to": {"identities": ["robot"]}},
        ),
    )
    grant = provision_grant(grant_id=Grant.objects.get(request=world.decide(request)).pk, now=world.now)
    assert grant.state == GrantState.ACTIVE
    with pytest.raises(MayNotExtend, match="at most 1 h"):
        extend(world, grant, 2 * 3600)
    assert delegates_of(grant, world.now) == []
    change(world, policy(world, extension=None))
    with pytest.raises(MayNotExtend, match="does not allow extensions"):
        extend(world, grant)


def test_no_time_and_less_time_are_no_extension(world):
    for seconds in (0, -1, -3600):
        with pytest.raises(InvalidInput):
            extend(world, world.grant(), seconds)
