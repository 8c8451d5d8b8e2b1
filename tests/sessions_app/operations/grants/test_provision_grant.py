"""Starting a grant, after looking again whether it may start."""

import datetime as dt

import pytest

from broker.kernel.errors import StintError
from sessions_app.models import AccessPolicy, AccessRequest, EndReason, Grant, GrantState, Target
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sweep.sweep import sweep
from tests.support.world.acts import after, at_once, awake, change, events, intact, last, policy


def provision(grant: Grant, now: dt.datetime) -> Grant:
    awake(now)
    return provision_grant(grant_id=grant.pk, now=now)


def start_later(world, **changes) -> Grant:
    return world.grant(start=False, starts_at=after(world, hours=2), **changes)


def test_a_due_grant_becomes_active_by_both_steps_and_each_is_recorded(world):
    grant = provision(world.grant(start=False), world.now)
    assert (grant.state, grant.activated_at, grant.version) == (GrantState.ACTIVE, world.now, 3)
    assert events(grant.ref) == ["grant.scheduled", "grant.provisioning", "grant.active"]
    assert intact()


def test_a_message_that_comes_too_early_changes_nothing(world):
    grant = start_later(world)
    assert provision(grant, after(world, minutes=119)).state == GrantState.SCHEDULED
    assert provision(grant, grant.starts_at).state == GrantState.ACTIVE


def test_a_message_that_comes_too_late_starts_nothing(world):
    grant = start_later(world)
    assert provision(grant, grant.expires_at).state == GrantState.SCHEDULED
    assert "grant.active" not in events(grant.ref)


@pytest.mark.parametrize("state", ["active", "revoking", "ended"])
def test_a_message_that_comes_twice_changes_nothing(world, state):
    grant = world.grant(start=state == "active")
    if state != "active":
        grant = end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    before = events()
    version = grant.version
    assert provision(grant, after(world, seconds=1)).version == version
    assert events() == before


def refused(world, grant: Grant, now: dt.datetime | None = None) -> str:
    grant = provision(grant, now or grant.starts_at)
    assert grant.state == GrantState.ENDED
    assert grant.end_reason == "policy_changed"
    assert last("grant.ended", grant.ref).data["note"] == grant.end_note
    return grant.end_note


def test_an_approver_who_lost_the_right_before_the_start_stops_it(world):
    grant = start_later(world)
    change(world, {"groups/approvers.yaml": "name: approvers\nmembers: [dora]\n"})
    assert "approvals are no longer valid" in refused(world, grant)


def test_an_approver_who_turned_out_to_be_the_holder_stops_it(world):
    grant = start_later(world)
    type(world.bob).objects.filter(pk=world.bob.pk).update(email="alice@example.com")
    assert "approvals are no longer valid" in refused(world, grant)


def test_the_owner_of_a_machine_who_was_disabled_stops_it(world):
    request = world.request(world.robot, starts_at=after(world, hours=2))
    world.decide(request)
    type(world.alice).objects.filter(pk=world.alice.pk).update(is_active=False)
    assert "disabled" in refused(world, Grant.objects.get())


def test_a_holder_who_may_not_ask_any_more_stops_it(world):
    grant = start_later(world)
    change(world, {"groups/operators.yaml": "name: operators\nmembers: [robot]\n"})
    assert "can't request access" in refused(world, grant)


@pytest.mark.parametrize(
    "change", [{"port": 9}, {"host_key": "x"}, {"removed_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}]
)
def test_a_target_that_changed_stops_it(world, change):
    grant = start_later(world)
    Target.objects.filter(name="web-1").update(**change)
    assert "changed since" in refused(world, grant)


def window_around(start: dt.datetime, end: dt.datetime) -> dict[str, object]:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"days": days, "from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "zone": "UTC"}


def test_a_grant_that_fills_its_window_starts_also_a_moment_late(world):
    begins = (world.now + dt.timedelta(hours=2)).replace(second=0, microsecond=0)
    ends = begins + dt.timedelta(hours=1)
    change(world, policy(world, windows=[window_around(begins, ends)]))
    request = world.request(starts_at=begins)
    world.decide(request)
    grant = provision(Grant.objects.get(), begins + dt.timedelta(milliseconds=300))
    assert (grant.state, grant.end_note) == (GrantState.ACTIVE, "")
    assert grant.expires_at == ends


def test_while_nothing_that_ends_access_runs_a_grant_waits_and_is_not_lost(world):
    grant = start_later(world)
    assert provision_grant(grant_id=grant.pk, now=grant.starts_at).state == GrantState.SCHEDULED
    report = sweep(now=lambda: grant.starts_at, name="test")
    assert report.started == 1
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_one_unreadable_row_is_isolated_and_reported_and_the_others_start(world):
    fine = [start_later(world), start_later(world)]
    from sessions_app.operations.requests.request_access import request_access

    other = policy(world, name="other")["policies/web-work.yaml"]
    change(world, {"policies/other.yaml": other})
    request = request_access(requester=world.alice, ask=world.ask(policy="other"), now=world.now)
    world.decide(request)
    bad = Grant.objects.get(request=request)
    AccessPolicy.objects.filter(name="other").update(document={"approvals": "none"})
    with pytest.raises(StintError, match="can't be read"):
        provision(bad, world.now)
    report = sweep(now=lambda: after(world, minutes=30), name="test")
    assert list(report.failed) == [bad.ref]
    bad.refresh_from_db()
    assert (bad.state, bad.next_attempt_at) == (GrantState.SCHEDULED, after(world, minutes=30, seconds=30))
    assert "can't be read" in bad.last_error
    assert sweep(now=lambda: after(world, minutes=30), name="test").failed == {}
    sweep(now=lambda: after(world, hours=2), name="test")
    for grant in fine:
        grant.refresh_from_db()
        assert grant.state == GrantState.ACTIVE


def test_started_twice_at_once_it_starts_once(live_world):
    grant = live_world.grant(start=False)
    at_once(*[lambda: provision_grant(grant_id=grant.pk, now=live_world.now)] * 4)
    grant.refresh_from_db()
    assert (grant.state, grant.version) == (GrantState.ACTIVE, 3)
    assert events(grant.ref).count("grant.active") == 1


def test_a_revoke_during_the_start_wins(live_world):
    for _ in range(6):
        grant = live_world.grant(start=False)
        at_once(
            lambda grant=grant: provision_grant(grant_id=grant.pk, now=live_world.now),
            lambda grant=grant: end_grant(
                grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=live_world.now
            ),
        )
        grant.refresh_from_db()
        assert grant.state in (GrantState.REVOKING, GrantState.ENDED)
        assert grant.end_reason == "revoked"
    assert intact()


def test_a_request_whose_digest_is_not_that_of_its_rows_never_starts(world):
    grant = start_later(world)
    request = AccessRequest.objects.get(pk=grant.request_id)
    assert request.digest
    type(world.alice).objects.filter(pk=world.alice.pk).update(username="mallory")
    assert "changed since" in refused(world, grant)
