"""One person can't fill the approvers' list."""

import pytest

from sessions_app.models import RequestState
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.requests.limit_requests import TooManyOpenRequests
from sessions_app.operations.requests.withdraw_request import withdraw_request
from tests.support.world.acts import after, at_once, awake, change, policy

INCIDENT = {"on_call": ["operators"], "approvals": "same"}


@pytest.fixture
def limited(world, settings):
    settings.OPEN_REQUESTS_PER_PERSON = 2
    return world


def test_all_accounts_and_machines_of_a_person_share_the_limit_and_are_told_what_to_withdraw(limited):
    first, second = limited.request(), limited.request(limited.robot)
    type(limited.charlie).objects.filter(pk=limited.deployer.pk).update(owner=limited.alice)
    for who in (limited.alice, limited.robot):
        with pytest.raises(
            TooManyOpenRequests, match=f"Withdraw a request that you no longer need.*{second.ref}"
        ):
            limited.request(who)
    withdraw_request(request_id=first.pk, actor=limited.alice, now=limited.now)
    assert limited.request().state == RequestState.PENDING


def test_what_was_decided_or_has_lapsed_does_not_count(limited):
    limited.decide(limited.request())
    limited.request()
    limited.request()
    assert limited.request(now=awake(after(limited, days=2))).state == RequestState.PENDING


def test_the_limit_of_others_blocks_no_incident_nor_break_glass(limited):
    glass = {"groups": ["operators"], "max_duration": "1h"}
    change(limited, policy(limited, incident=INCIDENT, break_glass=glass))
    incident = limited.incident()
    for _ in range(2):
        limited.request()
    for _ in range(2):
        limited.request(kind="incident", workflow=incident.ref)
    with pytest.raises(TooManyOpenRequests):
        limited.request(kind="incident", workflow=incident.ref)
    assert limited.request(kind="break_glass").state == RequestState.APPROVED


def test_an_extension_that_needs_approval_counts(limited):
    change(limited, policy(limited, extension={"times": 1, "by": "1h", "approvals": "same"}))
    grant = limited.grant()
    for _ in range(2):
        limited.request()
    with pytest.raises(TooManyOpenRequests):
        extend_grant(grant_id=grant.pk, requester=limited.alice, seconds=600, reason="More", now=limited.now)


def test_requests_at_the_same_moment_do_not_pass_it_together(live_world, settings):
    settings.OPEN_REQUESTS_PER_PERSON = 1
    results = at_once(live_world.request, lambda: live_world.request(live_world.robot))
    assert sorted(isinstance(one, TooManyOpenRequests) for one in results) == [False, True]
