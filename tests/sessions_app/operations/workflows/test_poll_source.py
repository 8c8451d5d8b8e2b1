"""Work that nobody tells of is asked about, each source on its own, and what stays unread ends."""

import datetime as dt
import itertools

import pytest
from django.db import connection

from sessions_app.models import Grant, Workflow, WorkflowSource
from sessions_app.operations.sweep.sweep import end_baseless
from sessions_app.operations.workflows.poll_source import poll_source, reread_workflow, sources_to_ask
from sessions_app.operations.workflows.read_workflow import RESPITE, WorkflowUnreadable, read_workflow
from sessions_app.workflows.base import Standing, Status
from tests.support.world.acts import after, awake, fresh, policy
from tests.support.world.sources import SOURCE, is_closed, is_open, speaking_for

REF = "pager:Q1"


@pytest.fixture
def pager(world):
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        yield adapter


@pytest.fixture
def grant(world, pager):
    return world.respond(read_workflow(ref=REF, now=world.now))


def work_for_access(world, pager, count: int) -> None:
    for number in range(count):
        pager.workflows[f"Q{number}"] = is_open()
        world.respond(read_workflow(ref=f"pager:Q{number}", now=world.now))


def poll(world, **span) -> int:
    moment = after(world, **span)
    return poll_source(source_id=WorkflowSource.objects.get().pk, now=lambda: moment)


def test_an_end_that_no_webhook_told_is_seen(world, pager, grant):
    assert sources_to_ask() == [WorkflowSource.objects.get().pk]
    assert poll(world, seconds=10) == 0
    pager.workflows["Q1"] = is_closed()
    assert poll(world, seconds=31) == 1
    assert fresh(grant).end_reason == "workflow_closed"
    assert sources_to_ask() == []


def test_one_process_asks_a_source_at_a_time_and_one_that_died_holds_nobody_up(world, pager, grant):
    WorkflowSource.objects.update(asking_until=after(world, seconds=60))
    assert poll(world, seconds=40) == 0
    assert poll(world, seconds=61) == 1


def test_a_source_that_does_not_answer_twice_is_left_alone_until_next_time(world, pager):
    work_for_access(world, pager, 4)
    pager.down = True
    assert poll(world, seconds=40) == 2


def test_work_of_which_the_source_says_nothing_keeps_no_other_from_being_read(world, pager):
    work_for_access(world, pager, 5)
    pager.odd = {"Q0", "Q1"}
    pager.workflows["Q2"] = Status(standing=Standing.UNKNOWN, reason="It is merged.")
    assert poll(world, seconds=40) == 5
    read = Workflow.objects.filter(read_at=after(world, seconds=40)).values_list("outside_id", flat=True)
    assert sorted(read) == ["Q3", "Q4"]
    assert Workflow.objects.get(outside_id="Q0").read_error


def test_work_for_which_the_source_fails_keeps_no_other_from_being_read_and_is_asked_about_alone_later(
    world, pager
):
    moments = (after(world, seconds=40 + number) for number in itertools.count())
    work_for_access(world, pager, 5)
    pager.in_trouble = {"Q0", "Q3"}
    source = WorkflowSource.objects.get()
    assert poll_source(source_id=source.pk, now=lambda: next(moments)) == 5
    read = Workflow.objects.filter(read_error="").values_list("outside_id", flat=True)
    assert sorted(read) == ["Q1", "Q2", "Q4"]
    assert fresh(source).last_error == ""
    asked = len(pager.asked)
    failed = Workflow.objects.get(outside_id="Q0")
    with pytest.raises(WorkflowUnreadable, match="did not report the status of pager:Q0"):
        read_workflow(ref="pager:Q0", now=failed.asked_at + RESPITE - dt.timedelta(seconds=1))
    assert len(pager.asked) == asked
    pager.in_trouble = set()
    read_workflow(ref="pager:Q0", now=failed.asked_at + RESPITE)
    assert Workflow.objects.get(outside_id="Q0").read_error == ""


def test_a_source_that_fails_for_one_after_the_other_is_left_alone(world, pager):
    work_for_access(world, pager, 4)
    pager.in_trouble = set(pager.workflows)
    assert poll(world, seconds=40) == 3
    assert pager.asked[-2:] == ["Q0", "Q1"], "the third was not asked about"
    assert "status 500" in WorkflowSource.objects.get().last_error


def test_what_nobody_knows_and_the_source_fails_for_leaves_the_source_in_peace(world, pager, grant):
    pager.in_trouble = {"strange"}
    for _ in range(2):
        with pytest.raises(WorkflowUnreadable, match="does not report the status of strange"):
            read_workflow(ref="pager:strange", now=world.now)
    assert read_workflow(ref=REF, now=world.now).read_at == world.now


def test_a_row_that_cannot_be_loaded_keeps_no_other_from_being_read(world, pager, grant):
    pager.workflows["Q2"] = is_open()
    world.respond(read_workflow(ref="pager:Q2", now=world.now))
    # Python has no such year.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_app_workflow SET ends_at = '10000-01-01T00:00:00Z' WHERE outside_id = 'Q1'"
        )
    assert sources_to_ask() == [WorkflowSource.objects.get().pk]
    assert poll(world, seconds=40) == 2
    assert Workflow.objects.get(outside_id="Q2").read_at == after(world, seconds=40)
    assert poll(world, seconds=60) == 0


def test_what_is_unread_for_longer_than_the_policy_allows_ends(world, pager, grant):
    world.apply(policy(world, workflow={"kinds": ["incident"], "staleness": "5m"}))
    pager.down = True
    assert poll(world, minutes=4) == 1
    assert end_baseless(now=awake(after(world, minutes=4))) == 0
    assert end_baseless(now=awake(after(world, minutes=6))) == 1
    assert fresh(grant).end_reason == "workflow_closed"
    assert "counts as closed" in grant.end_note


def test_a_change_is_closed_when_its_planned_time_is_over(world):
    change = world.workflow("change")
    end_baseless(now=after(world, hours=1))
    assert fresh(change).state == "open"
    end_baseless(now=after(world, hours=2))
    assert (fresh(change).state, change.closed_by) == ("closed", None)


def test_what_waited_for_its_source_starts_once_it_has_answered(world, pager):
    world.apply(policy(world, incident={"on_call": ["on-call"], "max_duration": "2h", "approvals": "same"}))
    request = world.request(kind="incident", workflow=REF)
    later = awake(after(world, minutes=5))
    world.decide(request, now=later)
    reread_workflow(workflow_id=request.workflow_id, now=lambda: later)
    assert Grant.objects.get().state == "active"
