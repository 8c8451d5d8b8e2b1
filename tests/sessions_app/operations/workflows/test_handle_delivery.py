"""Doing what a proven delivery says."""

import datetime as dt

import pytest
from django.db import transaction

from sessions_app.models import InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.workflows.handle_delivery import KEPT, handle_delivery, handle_lost_deliveries
from sessions_app.operations.workflows.read_workflow import read_workflow
from tests.support.world.acts import Started, after, at_once, change, events, fresh
from tests.support.world.sources import SOURCE, is_open, speaking_for


@pytest.fixture
def pager():
    with speaking_for() as adapter:
        yield adapter


def known(world, pager, *ids: str) -> list[Workflow]:
    """Open work of the source."""
    change(world, {"workflow-sources/pager.yaml": SOURCE})
    pager.workflows = {one: is_open() for one in ids}
    return [read_workflow(ref=f"pager:{one}", now=world.now) for one in ids]


def kept(world, *hints: tuple[str, bool], key: str = "first", whole: bool = False) -> InboundDelivery:
    """A delivery that has proved itself, and waits."""
    said = [{"id": outside_id, "closed": closed, "whole": whole} for outside_id, closed in hints]
    return InboundDelivery.objects.create(
        source=WorkflowSource.objects.get(name="pager"), key=key, hints=said, received_at=world.now
    )


def handle(world, delivery):
    return handle_delivery(delivery_id=delivery.pk, now=world.now)


def states() -> dict[str, str]:
    return dict(Workflow.objects.values_list("outside_id", "state"))


def test_what_it_says_is_open_is_asked_about_and_nothing_else(
    world, pager, django_capture_on_commit_callbacks
):
    known(world, pager, "INC-1")
    asked = list(pager.asked)
    with django_capture_on_commit_callbacks() as hints:
        assert handle(world, kept(world, ("INC-1", False))).closed == 0
    assert (states(), len(hints), pager.asked) == ({"INC-1": "open"}, 1, asked)


def test_the_whole_of_something_is_all_that_begins_with_its_id_and_a_colon(world, pager):
    (run, *_) = known(world, pager, "7")
    parts = {"7:1": "open", "7:2": "open", "77:1": "open"}
    for part in parts:
        Workflow.objects.create(
            provider="fake",
            source=run.source,
            outside_id=part,
            kind="pipeline",
            ref=f"pager:{part}",
            title=part,
        )
    handle(world, kept(world, ("7", True)))
    assert states() == {"7": "closed", **parts}
    assert handle(world, kept(world, ("7", True), key="second", whole=True)).closed == 2
    assert states() == {"7": "closed", "7:1": "closed", "7:2": "closed", "77:1": "open"}


def test_work_of_another_source_under_the_same_id_stays_open(world, pager):
    known(world, pager, "INC-1")
    change(world, {"workflow-sources/other.yaml": SOURCE.replace("name: pager", "name: other")})
    read_workflow(ref="other:INC-1", now=world.now)
    handle(world, kept(world, ("INC-1", True)))
    assert dict(Workflow.objects.values_list("ref", "state")) == {
        "pager:INC-1": "closed",
        "other:INC-1": "open",
    }


def test_what_was_handled_is_not_handled_again(world, pager):
    (workflow,) = known(world, pager, "INC-1")
    delivery = kept(world, ("INC-1", True))
    handle(world, delivery)
    again = read_workflow(ref=workflow.ref, now=after(world, seconds=30))
    assert handle(world, delivery).handled_at == world.now
    assert fresh(again).state == "open"


def test_by_many_at_once_it_is_handled_once(live_world, pager):
    world = live_world
    (workflow,) = known(world, pager, "INC-1")
    world.respond(workflow)
    delivery = kept(world, ("INC-1", True))
    results = at_once(*[lambda: handle(world, delivery)] * 3)
    assert [result.closed for result in results] == [1, 1, 1]
    assert events(workflow.ref).count("workflow.closed") == 1


def test_what_else_the_source_delivers_is_kept_while_one_is_handled(live_world, pager, owner_connection):
    world = live_world
    known(world, pager, "INC-1")
    first = kept(world, ("INC-1", True))
    with transaction.atomic():
        handle(world, first)
        second = Started(lambda: kept(world, ("INC-1", True), key="second")).result()
    assert second.pk


@pytest.mark.parametrize("lost", [False, True])
def test_work_is_closed_with_its_access_although_others_have_the_row_of_a_grant(
    live_world, pager, owner_connection, lost
):
    world = live_world
    grants = [world.respond(workflow) for workflow in known(world, pager, "INC-1", "INC-2")]
    delivery = kept(world, ("INC-1", True), ("INC-2", True))
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM sessions_app_grant WHERE id = %s FOR UPDATE", [grants[1].pk])
        handling = Started(
            lambda: handle_lost_deliveries(now=after(world, seconds=4)) if lost else handle(world, delivery)
        )
        assert not isinstance(handling.result(), Exception), handling.result()
        assert [fresh(grant).state for grant in grants] == ["revoking", "revoking"]
    assert (fresh(delivery).state, delivery.closed) == ("handled", 2)


def test_work_that_can_not_be_closed_now_keeps_no_other_of_its_delivery_open(
    live_world, pager, owner_connection
):
    world = live_world
    known(world, pager, "INC-1", "INC-2")
    delivery = kept(world, ("INC-1", True), ("INC-2", True))
    owner_connection.execute(REFUSES)
    assert handle_lost_deliveries(now=after(world, seconds=4)) == 0
    assert states() == {"INC-1": "open", "INC-2": "closed"}
    owner_connection.execute("DROP TRIGGER refuse ON sessions_app_workflow")
    assert handle_lost_deliveries(now=after(world, seconds=8)) == 1
    assert (fresh(delivery).state, delivery.closed) == ("handled", 2)


def test_one_whose_process_died_is_handled_a_little_later(world, pager):
    (workflow,) = known(world, pager, "INC-1")
    grant = world.respond(workflow)
    kept(world, ("INC-1", True))
    assert handle_lost_deliveries(now=after(world, seconds=1)) == 0
    assert handle_lost_deliveries(now=after(world, seconds=4)) == 1
    assert fresh(grant).state == "revoking"
    assert handle_lost_deliveries(now=after(world, seconds=8)) == 0


def test_one_that_a_process_holds_keeps_no_other_waiting(live_world, pager, owner_connection):
    world = live_world
    known(world, pager, "INC-1", "INC-2")
    held, _ = kept(world, ("INC-1", True)), kept(world, ("INC-2", True), key="second")
    with owner_connection.transaction():
        owner_connection.execute(
            "SELECT FROM sessions_app_inbounddelivery WHERE id = %s FOR UPDATE", [held.pk]
        )
        handling = Started(lambda: handle_lost_deliveries(now=after(world, seconds=4)))
        assert handling.result() == 1
    assert states() == {"INC-1": "open", "INC-2": "closed"}
    assert handle_lost_deliveries(now=after(world, seconds=8)) == 1


REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW WHEN (NEW.outside_id = 'INC-1')
EXECUTE FUNCTION refuse();
"""


def test_one_that_fails_says_why_and_is_come_back_to_and_stops_no_other(live_world, pager, owner_connection):
    world = live_world
    known(world, pager, "INC-1", "INC-2")
    first, _ = kept(world, ("INC-1", True)), kept(world, ("INC-2", True), key="second")
    owner_connection.execute(REFUSES)
    assert handle_lost_deliveries(now=after(world, seconds=4)) == 1
    assert (fresh(first).state, "not this one" in first.last_error) == ("received", True)
    assert states() == {"INC-1": "open", "INC-2": "closed"}
    owner_connection.execute("DROP TRIGGER refuse ON sessions_app_workflow")
    assert handle_lost_deliveries(now=after(world, seconds=8)) == 1


def test_what_meant_nothing_is_thrown_away_after_a_month(world, pager):
    known(world, pager)
    for key, age in (("old", KEPT + dt.timedelta(seconds=1)), ("young", KEPT)):
        delivery = kept(world, key=key)
        InboundDelivery.objects.filter(pk=delivery.pk).update(state="ignored", received_at=world.now - age)
    handle(world, kept(world, key="handled"))
    InboundDelivery.objects.filter(key="handled").update(received_at=world.now - KEPT * 2)
    assert handle_lost_deliveries(now=world.now) == 0
    assert set(InboundDelivery.objects.values_list("key", flat=True)) == {"young", "handled"}
