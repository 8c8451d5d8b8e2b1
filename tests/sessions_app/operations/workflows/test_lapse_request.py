"""A request that lapses because its work is over."""

import pytest
from django.db import transaction

from broker.audit.actor import Actor
from sessions_app.models import AccessPolicy, AccessRequest, Notice, RequestState
from sessions_app.operations.workflows.lapse_request import lapse_request
from tests.support.world.acts import after, change, fresh, intact, last, policy

BY = Actor.system("workflows")


@pytest.fixture
def asked(world):
    """Alice's robot waits for access for a ticket; nobody was told anything else."""
    change(world, policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    workflow = world.workflow()
    request = world.request(world.robot, workflow=workflow.ref)
    Notice.objects.all().delete()
    return request, workflow


def lapse(world, asked, **more):
    request, workflow = asked
    with transaction.atomic():
        locked = AccessRequest.objects.select_for_update(of=("self",)).get(pk=request.pk)
        lapse_request(
            request=locked, workflow=workflow, why="it is over", by=BY, now=after(world, minutes=1), **more
        )


def told() -> dict[str, Notice]:
    return {one.identity.username: one for one in Notice.objects.filter(event="request.lapsed")}


def test_it_lapses_at_that_time_and_the_record_says_with_what(world, asked):
    lapse(world, asked)
    request, workflow = asked
    assert (fresh(request).state, request.decided_at) == (RequestState.LAPSED, after(world, minutes=1))
    entry = last("request.lapsed", request.ref)
    assert (entry.actor, entry.data) == ("system:workflows", {"closed": workflow.ref})
    assert intact()


def test_who_asked_is_told_to_ask_again_and_who_decides_that_nothing_is_left(world, asked):
    lapse(world, asked)
    request, _ = asked
    # Machines have no email address; their owner is notified.
    assert {name: one.path for name, one in told().items()} == {
        "alice": f"/requests/{request.ref}/",
        "bob": f"/approvals/{request.ref}/",
        "dora": f"/approvals/{request.ref}/",
    }
    assert {one.subject for one in told().values()} == {f"{request.ref} expired: it is over"}
    assert "You can submit a new request" in told()["alice"].body
    assert "No decision is needed anymore" in told()["bob"].body


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_who_ended_the_work_knows(world, asked, who):
    lapse(world, asked, but=getattr(world, who))
    assert set(told()) == {"alice", "bob", "dora"} - {who}


def test_where_the_policy_can_not_be_read_it_lapses_all_the_same(world, asked):
    AccessPolicy.objects.update(document={})
    lapse(world, asked)
    asked[0].refresh_from_db()
    assert (asked[0].state, set(told())) == (RequestState.LAPSED, {"alice"})
