"""Telling of ends."""

import datetime as dt

import pytest

from sessions_app.connectors.base import ConnectorError
from sessions_app.models import EndReason, Notice
from sessions_app.operations.grants.deprovision_grant import NOTIFY_AFTER
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.sessions.try_command import lease
from sessions_app.queries.requests.deciders import reviewers
from tests.support.world.acts import after, awake, undo, use


@pytest.fixture(autouse=True)
def _targets(fake_targets):
    return fake_targets


def told(event: str) -> list[tuple[str, str]]:
    found = Notice.objects.filter(event=event).order_by("identity__username")
    return list(found.values_list("identity__username", "body"))


def test_a_holder_is_told_when_and_why_access_ended(world):
    grant = world.grant()
    stop_grant(grant_id=grant.pk, actor=world.bob, note="Wrong hosts", now=world.now)
    assert told("grant.ended") == []
    undo(grant, now=after(world, seconds=1))
    assert told("grant.ended") == [
        ("alice", "Reason: Revoked by Bob\nNote: Wrong hosts\nThe page has the receipt.")
    ]


def test_who_ended_it_or_closed_its_work_knows(world):
    for reason in (EndReason.RELEASED, EndReason.WORKFLOW_CLOSED):
        grant = world.grant()
        end_grant(grant_id=grant.pk, actor=world.alice, reason=reason, now=world.now)
        undo(grant, now=world.now)
    assert told("grant.ended") == []


def test_a_broken_glass_that_is_over_asks_those_who_approve_for_a_review(world):
    grant = provision_grant(grant_id=world.request(kind="break_glass", reason="Down").grant.pk, now=world.now)
    Notice.objects.all().delete()
    stop_grant(grant_id=grant.pk, actor=world.alice, now=world.now)
    undo(grant, now=world.now)
    assert [who for who, _ in told("breakglass.started")] == ["bob", "dora"]
    grant.holder = world.bob
    assert [str(person) for person in reviewers(grant)] == ["Dora"]


def test_administrators_are_told_of_a_target_that_goes_on_failing_and_once(world, fake_targets, monkeypatch):
    grant = world.grant()
    lease(use(grant, now=world.now), world.now)

    def fail(spec):
        raise ConnectorError("no route to host", permanent=False)

    monkeypatch.setattr(fake_targets, "revoke", fail)
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=world.now)
    moment = world.now
    for attempt in range(NOTIFY_AFTER + 3):
        moment += dt.timedelta(minutes=2)
        undo(grant, now=moment)
        assert len(told("grant.revoke_failing")) == (attempt >= NOTIFY_AFTER)
    ((who, body),) = told("grant.revoke_failing")
    assert who == "admin"
    assert "no route to host" in body


def test_a_planned_start_is_told_and_one_right_after_the_approval_is_not(world):
    world.grant()
    assert told("grant.active") == []
    later = world.grant(start=False, starts_at=after(world, hours=1))

    provision_grant(grant_id=later.pk, now=awake(after(world, hours=1)))
    assert [who for who, _ in told("grant.active")] == ["alice"]


def test_an_owner_hears_that_a_machine_took_its_request_back_and_nobody_hears_of_oneself(world):
    withdraw_request(request_id=world.request().pk, actor=world.alice, now=world.now)
    assert told("request.withdrawn") == []
    withdraw_request(request_id=world.request(world.robot).pk, actor=world.robot, now=world.now)
    assert [who for who, _ in told("request.withdrawn")] == ["alice"]
