"""Withdrawing an approval that was just given."""

import datetime as dt

import pytest

from accounts.operations.create_identity import create_identity
from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.models import Approval, Grant, Notice, RequestState
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.withdraw_approval import TooLateToWithdraw, withdraw_approval
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.sweep.sweep import sweep
from tests.support.world import acts
from tests.support.world.acts import after, at_once, events, fresh, last
from tests.support.world.world import CATALOG, SETUP, make_world


def undo(world, request, who=None, *, seconds=9):
    return withdraw_approval(
        request_id=request.pk, approver=who or world.bob, now=after(world, seconds=seconds)
    )


@pytest.fixture
def two(world):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    return world


def test_an_approval_that_was_not_the_last_is_as_if_it_had_never_been_given(two):
    request = two.request()
    two.decide(request)
    assert undo(two, request).state == RequestState.PENDING
    assert Approval.objects.get().voided_at == after(two, seconds=9)
    assert last("request.approval_withdrawn", request.ref).actor == "bob"
    two.decide(request, two.dora)
    assert fresh(request).state == RequestState.PENDING, "it needs a second approval again"
    two.decide(request)
    assert fresh(request).state == RequestState.APPROVED


def test_the_last_approval_of_a_later_start_ends_the_grant_before_it_starts(world):
    request = world.request(starts_at=after(world, minutes=20))
    world.decide(request)
    undo(world, request)
    grant = Grant.objects.get()
    assert (grant.state, grant.end_reason, grant.ended_by) == ("ended", "revoked", world.bob)
    assert provision_grant(grant_id=grant.pk, now=grant.starts_at).state == "ended"
    assert last("request.approval_withdrawn", request.ref).data["grant"] == grant.ref
    assert fresh(request).state == RequestState.APPROVED, "a decided request stays decided"
    assert Notice.objects.filter(identity=world.alice, subject__startswith=f"{grant.ref} has ended").exists()


def test_once_access_starts_or_ten_seconds_have_passed_it_is_too_late(two):
    first, later = two.request(), two.request(starts_at=after(two, seconds=5))
    two.decide(first)
    for who in (two.bob, two.dora):
        two.decide(later, who)
    for request, seconds, why in (
        (first, 10, "for 10 seconds"),
        (later, 5, "no longer waiting to start"),
        (later, 9, "no longer waiting to start"),
    ):
        with pytest.raises(TooLateToWithdraw, match=why):
            undo(two, request, seconds=seconds)
    assert Grant.objects.get().state == "scheduled"
    assert not Approval.objects.filter(voided_at__isnull=False).exists()


def test_a_denial_is_final(world):
    request = world.request()
    world.decide(request, verdict="deny", comment="No")
    with pytest.raises(TooLateToWithdraw, match="A denial is final"):
        undo(world, request)
    assert fresh(request).state == RequestState.DENIED


def test_only_the_approver_withdraws_it_and_only_once(two):
    request = two.request()
    two.decide(request)
    for other, refused in (
        (two.dora, TooLateToWithdraw),
        (two.admin, TooLateToWithdraw),
        (two.charlie, NotFound),
    ):
        with pytest.raises(refused):
            undo(two, request, other)
    undo(two, request)
    with pytest.raises(TooLateToWithdraw, match="no approval"):
        undo(two, request)
    assert events(request.ref).count("request.approval_withdrawn") == 1


def test_what_another_approved_is_never_more_than_they_read(world):
    world.apply(acts.policy(world, approvals=[{"count": 3, "from": ["approvers"]}]))
    create_identity(
        username="erin", email="erin@example.com", groups=["approvers"], actor=SETUP, now=world.now
    )
    request = world.request()
    world.decide(request, narrowing={"duration": 600})
    world.decide(request, world.dora)
    with pytest.raises(TooLateToWithdraw, match="Dora has approved the reduced scope"):
        undo(world, request)
    undo(world, request, world.dora)
    undo(world, request)


def test_what_expired_or_was_withdrawn_meanwhile_stays_so(two):
    lapsed, taken = two.request(), two.request()
    late = lapsed.lapses_at - dt.timedelta(seconds=1)
    for request in (lapsed, taken):
        two.decide(request, now=late)
    withdraw_request(request_id=taken.pk, actor=two.alice, now=late)
    sweep(now=lambda: lapsed.lapses_at, name="test")
    for request, state in ((lapsed, "lapsed"), (taken, "withdrawn")):
        with pytest.raises(TooLateToWithdraw):
            withdraw_approval(request_id=request.pk, approver=two.bob, now=late + dt.timedelta(seconds=6))
        assert fresh(request).state == state


def test_an_undo_and_the_last_approval_at_once_leave_two_approvals_or_no_access(stint_db):
    clock.sync()
    two = CATALOG["policies/web-work.yaml"].replace("{count: 1,", "{count: 2,")
    world = make_world(clock.now(), {"policies/web-work.yaml": two})
    for _ in range(5):
        request = world.request()
        world.decide(request)
        undone, _decided = at_once(
            lambda request=request: undo(world, request),
            lambda request=request: world.decide(request, world.dora),
        )
        counted = Approval.objects.filter(request=request, voided_at__isnull=True).count()
        if isinstance(undone, TooLateToWithdraw):
            assert (counted, fresh(request).state) == (2, RequestState.APPROVED)
        else:
            assert (counted, fresh(request).state) == (1, RequestState.PENDING)
        assert Grant.objects.filter(request=request).exists() == (counted == 2)


def test_an_undo_and_a_start_at_once_have_one_outcome(live_world):
    world = live_world
    for _ in range(5):
        request = world.request(starts_at=after(world, seconds=9))
        grant = world.decide(request).grant
        undone, _ = at_once(
            lambda request=request: undo(world, request, seconds=8),
            lambda grant=grant: provision_grant(grant_id=grant.pk, now=grant.starts_at),
        )
        assert fresh(grant).state == ("active" if isinstance(undone, TooLateToWithdraw) else "ended")


def test_an_undo_and_a_sweep_at_once_have_one_outcome(live_world):
    world = live_world
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    for _ in range(5):
        request = world.request()
        late = request.lapses_at - dt.timedelta(seconds=1)
        world.decide(request, now=late)
        now = request.lapses_at
        undone, _ = at_once(
            lambda request=request, now=now: withdraw_approval(
                request_id=request.pk, approver=world.bob, now=now
            ),
            lambda now=now: sweep(now=lambda: now, name="test"),
        )
        # The sweep skips what it finds locked; the next one gets it.
        sweep(now=lambda now=now: now, name="test")
        assert fresh(request).state == RequestState.LAPSED
        withdrawn = Approval.objects.get(request=request).voided_at is not None
        assert withdrawn != isinstance(undone, TooLateToWithdraw)
