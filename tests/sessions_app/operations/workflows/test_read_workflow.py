"""What a source says of a piece of work, and what that ends."""

import datetime as dt

import pytest
from django.db import DatabaseError, transaction

from broker.kernel.errors import InvalidInput
from sessions_app.models import EndReason, Grant, Workflow, WorkflowSource
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.read_workflow import SourceUnreadable, UnknownWorkflow, read_workflow
from sessions_app.workflows.base import Standing, Status
from tests.support.servers.outside import outside
from tests.support.world.acts import (
    Started,
    after,
    awake,
    events,
    fresh,
    intact,
    last,
    policy,
    wait_for_waiters,
)
from tests.support.world.sources import DESK, SOURCE, is_closed, is_open, speaking_for

REF = "pager:Q1"


@pytest.fixture
def pager(world):
    """The source, set up, with one open incident."""
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        yield adapter


@pytest.fixture
def desk(world):
    """A source that is asked over the wire."""
    with outside() as system:
        world.apply({"workflow-sources/desk.yaml": DESK.replace("http://127.0.0.1:1", system.url)})
        yield system


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
    assert (fresh(grant).state, grant.end_reason) == ("revoking", "workflow_closed")
    # Opened again there it is new work here, which revives nothing.
    pager.workflows["Q1"] = is_open()
    again = read_workflow(ref=REF, now=world.now)
    assert (again.ref, again.state) == (f"{REF}~2", "open")
    assert fresh(grant).state == "revoking"
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
    assert (fresh(workflow).asked_at, workflow.read_at) == (later, world.now)
    assert "before its start" in workflow.read_error


def test_a_source_that_is_down_starts_nothing_and_is_left_alone_for_a_moment(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    pager.down = True
    with pytest.raises(SourceUnreadable):
        world.request(kind="incident", workflow=REF)
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=after(world, seconds=2))
    assert pager.asked.count("Q1") == 2
    assert fresh(workflow).read_error
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


def test_what_the_source_says_anew_is_recorded_and_ends_what_has_no_room_left(world, pager):
    grant = world.respond(read_workflow(ref=REF, now=world.now))
    pager.workflows["Q1"] = is_open(title="Checkout is down", ends_at=world.now + dt.timedelta(hours=3))
    read_workflow(ref=REF, now=world.now)
    assert fresh(grant).state == "active"
    pager.workflows["Q1"] = is_open(ends_at=world.now + dt.timedelta(minutes=10))
    read_workflow(ref=REF, now=world.now)
    assert fresh(grant).end_reason == "workflow_closed"
    assert last("workflow.changed", REF).data["grants_ended"] == [grant.ref]


def test_while_it_waits_for_what_has_no_room_left_the_record_is_free(live_world, owner_connection):
    world = live_world
    with speaking_for() as pager:
        pager.workflows["Q1"] = is_open()
        delegation = {"delegation": {"depth": 1, "to": {"identities": ["deployer"]}}}
        world.apply({"workflow-sources/pager.yaml": SOURCE, **policy(world, **delegation)})
        grants = [world.grant(workflow=REF) for _ in range(2)]
        part = Part(identity="deployer", command_set="restart-web", parameters={})
        child = delegate_grant(grant_id=grants[1].pk, actor=world.alice, part=part, now=world.now)
        provision_grant(grant_id=child.pk, now=world.now)
        end_grant(grant_id=child.pk, actor=world.alice, reason=EndReason.REVOKED, now=world.now)
        pager.workflows["Q1"] = is_open(ends_at=after(world, minutes=10))
        with owner_connection.transaction():
            # As a process does that is about to record what became of an end.
            owner_connection.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [child.pk])
            reading = Started(lambda: read_workflow(ref=REF, now=world.now))
            wait_for_waiters(owner_connection, 1)
            owner_connection.execute("SELECT FROM audit_head FOR UPDATE NOWAIT")
        assert not isinstance(reading.result(), Exception), reading.result()
    assert set(Grant.objects.values_list("state", flat=True)) == {"revoking"}


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
    bound = world.catalog["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}", "unit: {choice: [nginx, haproxy], from: workflow.service}"
    )
    world.apply({"command-sets/restart-web.yaml": bound})
    with pytest.raises(InvalidInput, match="has no service"):
        world.request(workflow=REF, parameters={})
    pager.workflows["Q1"] = is_open(values={"service": "haproxy"})
    with pytest.raises(InvalidInput, match="where it is haproxy"):
        world.request(workflow=REF, parameters={"unit": "nginx"})
    request = world.request(workflow=REF, parameters={})
    assert request.parameters == {"unit": "haproxy"}
    pager.workflows["Q1"] = is_open(values={"service": "nginx"})
    read_workflow(ref=REF, now=after(world, seconds=30))
    with pytest.raises(Exception, match="changed after you read it"):
        world.decide(request)


def test_a_source_that_does_not_know_is_no_end_and_no_beginning(world, pager):
    grant = world.respond(read_workflow(ref=REF, now=world.now))
    pager.workflows["Q1"] = Status(standing=Standing.UNKNOWN, reason="It is merged.")
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=world.now)
    assert fresh(grant).state == "active"


def test_an_odd_answer_about_one_piece_of_work_takes_nobody_elses_away(world, pager):
    pager.odd = {"WRONG", "Q2"}
    pager.workflows["Q2"] = is_open()
    with pytest.raises(UnknownWorkflow) as refusal:
        read_workflow(ref="pager:WRONG", now=world.now)
    assert "status 422" in refusal.value.hint
    assert WorkflowSource.objects.get().last_error == ""
    assert read_workflow(ref=REF, now=world.now).state == "open"


@pytest.mark.parametrize("answer", [401, 403, 429, 500, None])
def test_an_id_that_anyone_can_name_stops_no_question_about_others(world, desk, answer):
    desk.pages |= {"/tickets/TKT-1": {"id": "TKT-1", "status": "open"}, "/tickets/RESTRICTED": answer}
    read_workflow(ref="desk:TKT-1", now=world.now)
    for _ in range(2):
        with pytest.raises(SourceUnreadable):
            read_workflow(ref="desk:RESTRICTED", now=world.now)
    assert WorkflowSource.objects.get().last_error == ""
    assert read_workflow(ref="desk:TKT-1", now=after(world, seconds=1)).read_error == ""


def test_a_token_that_the_source_refuses_for_one_after_the_other_leaves_it_alone(world, desk):
    for number in (1, 2, 3):
        desk.pages[f"/tickets/TKT-{number}"] = {"id": f"TKT-{number}", "status": "open"}
        read_workflow(ref=f"desk:TKT-{number}", now=world.now)
    desk.pages = dict.fromkeys(desk.pages, 401)
    for number in (1, 2, 3):
        with pytest.raises(SourceUnreadable):
            read_workflow(ref=f"desk:TKT-{number}", now=after(world, seconds=number))
    assert [path for path, _ in desk.asked[3:]] == ["/tickets/TKT-1", "/tickets/TKT-2"]
    assert "status 401" in WorkflowSource.objects.get().last_error


def test_asked_for_by_any_of_its_ids_it_is_one_workflow_under_the_sources_own(world, pager):
    pager.workflows["12345"] = is_open(outside_id="Q1")
    request = world.request(kind="incident", workflow="pager:12345")
    assert request.workflow.ref == REF
    assert [read_workflow(ref=ref, now=world.now).ref for ref in (REF, "pager:12345")] == [REF, REF]
    close_workflow(workflow_id=request.workflow_id, actor=world.alice, now=world.now)
    assert not Workflow.objects.open().exists()
    assert Grant.objects.get().end_reason == "workflow_closed"


def test_work_whose_id_changed_at_its_source_waits_its_turn_as_what_is_unread_does(world, pager):
    workflow = read_workflow(ref=REF, now=world.now)
    pager.workflows["Q1"] = is_open(outside_id="Q7")
    with pytest.raises(SourceUnreadable):
        read_workflow(ref=REF, now=after(world, seconds=30))
    assert (fresh(workflow).read_at, workflow.read_error) == (world.now, "The source now reports the id Q7.")
    assert Workflow.objects.count() == 1
    pager.workflows["Q1"] = is_closed()
    assert read_workflow(ref=REF, now=after(world, seconds=60)).state == "closed"


def test_a_source_that_does_not_say_which_work_it_means_makes_none_known(world, desk):
    desk.pages["/tickets/TKT-1"] = {"status": "open"}
    with pytest.raises(SourceUnreadable, match="does not report the id") as refusal:
        read_workflow(ref="desk:TKT-1", now=world.now)
    assert "which key of the response" in refusal.value.hint
    assert not Workflow.objects.exists()


def test_who_opened_it_is_whom_the_source_named_first(world, pager):
    pager.workflows["Q1"] = is_open(opened_by=(), changed_by=None)
    workflow = read_workflow(ref=REF, now=world.now)
    assert (workflow.named_openers, workflow.named_changers, workflow.opener) == ([], None, "")
    for named in ("alice@example.com", "bob@example.com"):
        pager.workflows["Q1"] = is_open(opened_by=(named,), changed_by=("dora@example.com",))
        workflow = read_workflow(ref=REF, now=world.now)
        assert (workflow.named_openers, workflow.named_changers) == (
            ["alice@example.com"],
            ["dora@example.com"],
        )
    with pytest.raises(DatabaseError, match="Who opened a workflow never changes"), transaction.atomic():
        Workflow.objects.update(named_openers=["bob@example.com"])
    assert last("workflow.changed", REF).data["opened_by"] == ["alice@example.com"]
