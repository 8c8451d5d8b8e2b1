"""Taking a delivery of a source's webhook."""

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import InboundDelivery, Workflow, WorkflowSource
from sessions_app.operations.workflows.handle_delivery import handle_lost_deliveries
from sessions_app.operations.workflows.read_workflow import read_workflow
from sessions_app.operations.workflows.receive_delivery import (
    RECORDED_EVERY,
    DeliveryTooLarge,
    NotFromSource,
    receive_delivery,
)
from sessions_app.operations.workflows.workflow_sources import SourceUnreadable
from sessions_app.workflows import registry
from sessions_app.workflows.base import MAX_DELIVERY
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    change,
    events,
    fresh,
    intact,
    last,
    wait_for_waiters,
)
from tests.support.world.sources import SOURCE, delivery, is_open, signed, speaking_for

OVER = delivery("INC-1")


@pytest.fixture
def pager():
    with speaking_for() as adapter:
        adapter.workflows["INC-1"] = is_open()
        yield adapter


def known(world) -> Workflow:
    """Open work of the source."""
    change(world, {"workflow-sources/pager.yaml": SOURCE})
    return read_workflow(ref="pager:INC-1", now=world.now)


def receive(world, body=OVER, headers=None, *, now=None, source="pager"):
    headers = signed(body or b"") if headers is None else headers
    return receive_delivery(source=source, headers=headers, body=body, now=now or world.now)


def refused(world, *, now=None) -> None:
    with pytest.raises(NotFromSource, match="same secret"):
        receive(world, headers={}, now=now)


def counts() -> list[int]:
    return [
        entry.data["count"] for entry in AuditEntry.objects.filter(event="source.refused").order_by("seq")
    ]


def test_what_proves_itself_is_kept_and_ends_at_once_what_it_says_is_over(world, pager):
    workflow = known(world)
    grant = world.respond(workflow)
    came = receive(world)
    assert (came.state, came.closed, came.received_at, came.event) == ("handled", 1, world.now, "fake")
    assert came.hints == [{"id": "INC-1", "closed": True, "whole": False}]
    assert fresh(grant).state == "revoking"
    assert intact()


def test_one_that_comes_again_is_the_one_that_was_kept_and_changes_nothing(world, pager):
    workflow = known(world)
    first = receive(world)
    again = read_workflow(ref=workflow.ref, now=after(world, seconds=30))
    assert receive(world, now=after(world, seconds=40)) == first
    assert (fresh(again).state, InboundDelivery.objects.count()) == ("open", 1)


def test_of_many_that_come_at_once_one_is_kept_and_all_are_taken(live_world, pager):
    workflow = known(live_world)
    results = at_once(*[lambda: receive(live_world)] * 4)
    assert {getattr(result, "pk", result) for result in results} == {InboundDelivery.objects.get().pk}
    assert events(workflow.ref).count("workflow.closed") == 1


def test_no_delivery_makes_work_known(world, pager):
    known(world)
    assert receive(world, delivery("INC-2", closed=False)).closed == 0
    assert list(Workflow.objects.values_list("ref", flat=True)) == ["pager:INC-1"]


def test_refusals_are_all_counted_and_recorded_once_a_minute(world, pager):
    workflow = known(world)
    for _ in range(5):
        refused(world)
    assert counts() == [1]
    assert (
        last("source.refused", "pager").data["reason"]
        == "The signature does not match any secret of this source."
    )
    assert last("source.refused", "pager").actor == "system:hooks"
    refused(world, now=world.now + RECORDED_EVERY)
    assert counts() == [1, 5]
    assert (fresh(workflow).state, InboundDelivery.objects.count()) == ("open", 0)


def test_a_flood_that_comes_at_once_is_recorded_once_and_nothing_of_it_is_lost(live_world, pager):
    known(live_world)
    results = at_once(*[lambda: refused(live_world)] * 5)
    assert results == [None] * 5
    assert len(counts()) == 1
    assert counts()[0] + WorkflowSource.objects.get().refused == 5


@pytest.mark.parametrize("body", [None, b"{" + b" " * MAX_DELIVERY])
def test_one_that_is_too_large_is_refused_whatever_proves_it(world, pager, body):
    known(world)
    with pytest.raises(DeliveryTooLarge, match="at most 1024 KiB"):
        receive(world, body)
    assert last("source.refused", "pager").data == {"reason": "The delivery is too large.", "count": 1}


@pytest.mark.parametrize("body", [b"", b"payload=%7B%7D", b"[" * 100_000], ids=["empty", "form", "deep"])
def test_one_that_is_proven_and_no_json_is_refused(world, pager, body):
    known(world)
    with pytest.raises(InvalidInput, match="send application/json"):
        receive(world, body)
    assert (
        last("source.refused", "pager").data["reason"] == "The delivery is signed, but it is not valid JSON."
    )
    assert not InboundDelivery.objects.exists()


def test_a_source_that_is_not_there_or_was_removed_is_not_found(world, pager):
    known(world)
    with pytest.raises(NotFound):
        receive(world, source="nobody")
    WorkflowSource.objects.update(removed_at=world.now)
    with pytest.raises(NotFound):
        receive(world)
    assert counts() == []


def test_a_source_that_nothing_reads_any_more_takes_nothing(world):
    with speaking_for():
        change(world, {"workflow-sources/pager.yaml": SOURCE})
    assert registry.find("fake") is None
    with pytest.raises(SourceUnreadable, match="Install the adapter"):
        receive(world)


REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def test_one_that_can_not_be_handled_now_is_kept_for_the_worker(live_world, pager, owner_connection):
    workflow = known(live_world)
    owner_connection.execute(REFUSES)
    assert receive(live_world).state == "received"
    owner_connection.execute("DROP TRIGGER refuse ON sessions_app_workflow")
    assert receive(live_world).state == "received"
    assert handle_lost_deliveries(now=after(live_world, seconds=4)) == 1
    assert fresh(workflow).state == "closed"


def test_a_forged_one_that_waits_for_the_record_keeps_no_genuine_one_waiting(
    live_world, pager, owner_connection
):
    workflow = known(live_world)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        forged = Started(lambda: refused(live_world))
        wait_for_waiters(owner_connection, 1)
        assert Started(lambda: receive(live_world)).result().state == "handled"
        assert fresh(workflow).state == "closed"
    assert forged.result() is None
    assert counts() == [1]
