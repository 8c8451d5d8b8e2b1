"""What a source says of a piece of work, and what that ends."""

from __future__ import annotations

import datetime as dt

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import Grant, Workflow, WorkflowSource
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.read_workflow import SourceUnreadable, UnknownWorkflow, read_workflow
from sessions_app.workflows.base import Standing, Status
from tests.support.acts import after, awake, events, intact, last, policy
from tests.support.sources import SOURCE, is_closed, is_open, speaking_for

REF = "pager:Q1"


@pytest.fixture
def pager(world):
    """The source, set up, with one open incident."""
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        yield adapter


def test_work_that_its_source_says_is_open_is_known_from_then_on(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    assert (workflow.ref, workflow.kind, workflow.outside_id, workflow.severity, workflow.read_at) == (
        REF,
        "incident",
        "Q1",
        "P1",
        world.now,
    )
    assert [cluster.name for cluster in workflow.clusters.all()] == ["web"]
    assert last("workflow.opened", REF).data["source"] == "pager"
    assert read_workflow(ref=REF, now=world.now) == workflow


@pytest.mark.parametrize(
    "ref", ["pager:Q2", "pager:../x", "nobody:Q1", "INC-1", "pager:" + "Q" * 200, "pager:"]
)
def test_work_that_nobody_knows_is_refused_and_leaves_nothing(world, pager, ref):
    with pytest.raises(UnknownWorkflow):
        read_workflow(ref=ref, now=world.now)
    assert not Workflow.objects.exists()


def test_closed_at_the_source_it_ends_all_access_and_is_never_open_again(world, pager):
    grant = world.respond(read_workflow(ref=REF, now=world.now))
    pager.workflows["Q1"] = is_closed()
    assert read_workflow(ref=REF, now=world.now).state == "closed"
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "workflow_closed")
    # Opened again there it is new work here, which revives nothing.
    pager.workflows["Q1"] = is_open()
    again = read_workflow(ref=REF, now=world.now)
    assert (again.ref, again.state) == (f"{REF}~2", "open")
    grant.refresh_from_db()
    assert grant.state == "revoking"
    assert world.respond(again).workflow == again
    assert intact()


def test_an_answer_that_a_webhook_has_outrun_opens_nothing_again(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    answer = pager.status

    def outrun(outside_id):
        said = answer(outside_id)
        close_workflow(workflow_id=workflow.pk, actor=None, now=after(world, seconds=1))
        return said

    pager.status = outrun
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=world.now)
    assert [one.state for one in Workflow.objects.all()] == ["closed"]
    # Whoever looked only after the close, with an older time, is told the same.
    pager.status = answer
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=world.now)
    assert read_workflow(ref=REF, now=after(world, seconds=1)).ref == f"{REF}~2"


def test_work_whose_planned_time_is_no_time_waits_its_turn_as_what_is_unread_does(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    pager.workflows["Q1"] = is_open(starts_at=after(world, hours=2), ends_at=after(world, hours=1))
    later = after(world, seconds=30)
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=later)
    workflow.refresh_from_db()
    assert (workflow.asked_at, workflow.read_at) == (later, world.now)
    assert "before its start" in workflow.read_error


def test_a_source_that_is_down_starts_nothing_and_is_left_alone_for_a_moment(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    pager.down = True
    with pytest.raises(SourceUnreadable):
        world.request(kind="incident", workflow=REF)
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=after(world, seconds=2))
    assert pager.asked.count("Q1") == 2
    workflow.refresh_from_db()
    assert workflow.read_error
    assert WorkflowSource.objects.get().last_error
    pager.down = False
    assert read_workflow(ref=REF, now=after(world, seconds=6)).read_error == ""
    assert WorkflowSource.objects.get().last_error == ""


def test_asking_for_access_reads_the_source_first(world, pager):
    request = world.request(kind="incident", workflow=REF)
    assert request.workflow.ref == REF
    pager.workflows["Q1"] = is_closed()
    with pytest.raises(RequestRefused):
        world.request(kind="incident", workflow=REF, now=after(world, seconds=60))
    assert Workflow.objects.get().state == "closed"


def test_who_may_not_see_the_clusters_lets_nothing_be_asked(world, pager):
    with pytest.raises(Exception, match="can't ask"):
        world.request(world.charlie, kind="incident", workflow=REF)
    assert pager.asked == []


def test_what_the_source_says_anew_is_recorded_and_ends_what_has_no_room_left(world, pager):
    grant = world.respond(read_workflow(ref=REF, now=world.now))
    pager.workflows["Q1"] = is_open(title="Checkout is down", ends_at=world.now + dt.timedelta(hours=3))
    read_workflow(ref=REF, now=world.now)
    grant.refresh_from_db()
    assert grant.state == "active"
    pager.workflows["Q1"] = is_open(ends_at=world.now + dt.timedelta(minutes=10))
    read_workflow(ref=REF, now=world.now)
    grant.refresh_from_db()
    assert grant.end_reason == "workflow_closed"
    assert last("workflow.changed", REF).data["grants_ended"] == [grant.ref]


def test_a_start_waits_until_the_source_was_asked_again(world, pager):
    world.apply(policy(world, incident={"on_call": ["on-call"], "max_duration": "2h", "approvals": "same"}))
    request = world.request(kind="incident", workflow=REF)
    later = awake(after(world, minutes=5))
    world.decide(request, now=later)
    grant = Grant.objects.get()
    assert provision_grant(grant_id=grant.pk, now=later).state == "scheduled"
    read_workflow(ref=REF, now=later)
    later += dt.timedelta(seconds=5)
    assert provision_grant(grant_id=grant.pk, now=later).state == "active"


def test_a_start_on_work_that_was_unread_for_too_long_ends_instead(world, pager):
    world.apply(policy(world, incident={"on_call": ["on-call"], "max_duration": "2h", "approvals": "same"}))
    request = world.request(kind="incident", workflow=REF)
    world.decide(request, now=awake(after(world, minutes=1)))
    later = awake(after(world, minutes=20))
    grant = provision_grant(grant_id=Grant.objects.get().pk, now=later)
    assert grant.state == "ended"
    assert "could not be read for 20 min" in grant.end_note
    assert "grant.active" not in events(grant.ref)


def test_commands_are_bound_to_a_fact_of_the_work_and_an_approval_to_its_value(world, pager):
    bound = world.catalogue["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}", "unit: {choice: [nginx, haproxy], from: workflow.service}"
    )
    world.apply({"command-sets/restart-web.yaml": bound})
    with pytest.raises(InvalidInput, match="has no service"):
        world.request(workflow=REF, parameters={})
    pager.workflows["Q1"] = is_open(values={"service": "haproxy"})
    with pytest.raises(InvalidInput, match="which is haproxy"):
        world.request(workflow=REF, parameters={"unit": "nginx"})
    request = world.request(workflow=REF, parameters={})
    assert request.parameters == {"unit": "haproxy"}
    pager.workflows["Q1"] = is_open(values={"service": "nginx"})
    read_workflow(ref=REF, now=after(world, seconds=30))
    with pytest.raises(Exception, match="changed since you read it"):
        world.decide(request)


def test_a_source_that_does_not_know_is_no_end_and_no_beginning(world, pager):
    grant = world.respond(read_workflow(ref=REF, now=world.now))
    pager.workflows["Q1"] = Status(standing=Standing.UNKNOWN, reason="It is merged.")
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=world.now)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_an_odd_answer_about_one_piece_of_work_takes_nobody_elses_away(world, pager):
    pager.odd = {"WRONG", "Q2"}
    pager.workflows["Q2"] = is_open()
    with pytest.raises(UnknownWorkflow) as refusal:
        read_workflow(ref="pager:WRONG", now=world.now)
    assert "status 422" in refusal.value.hint
    assert WorkflowSource.objects.get().last_error == ""
    assert read_workflow(ref=REF, now=world.now).state == "open"
