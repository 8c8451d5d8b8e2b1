"""Joining those who work on something."""

import pytest
from django.db import transaction

from broker.kernel.errors import NotFound
from sessions_app.models import Workflow
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.join_workflow import WorkflowClosed, join_workflow
from tests.support.world.acts import Started, at_once, events, intact, last, wait_for_waiters


def join(world, workflow, who=None):
    return join_workflow(workflow_id=workflow.pk, actor=who or world.alice, now=world.now)


def test_who_joins_is_a_member_from_then_on_and_it_is_recorded(world):
    workflow = world.workflow()
    assert world.alice in join(world, workflow).members.all()
    assert last("workflow.joined", workflow.ref).actor == "alice"
    assert intact()


def test_work_that_is_not_there_and_work_that_one_may_not_see_are_the_same(world):
    workflow = world.workflow()
    assert not Workflow.objects.visible_to(world.charlie).exists()
    with pytest.raises(NotFound) as unseen:
        join(world, workflow, world.charlie)
    with pytest.raises(NotFound) as missing:
        join_workflow(workflow_id=0, actor=world.alice, now=world.now)
    assert str(unseen.value) == str(missing.value)
    assert "workflow.joined" not in events()


def test_closed_work_is_not_joined(world):
    workflow = world.workflow()
    close_workflow(workflow_id=workflow.pk, actor=world.bob, now=world.now)
    with pytest.raises(WorkflowClosed, match="Open a new workflow"):
        join(world, workflow)
    assert world.alice not in workflow.members.all()


def test_work_that_is_closed_meanwhile_is_not_joined(live_world, owner_connection):
    world, workflow = live_world, live_world.workflow()
    with transaction.atomic():
        close_workflow(workflow_id=workflow.pk, actor=world.bob, now=world.now)
        joining = Started(lambda: join(world, workflow))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(joining.result(), WorkflowClosed)
    assert "workflow.joined" not in events(workflow.ref)


def test_of_many_times_at_once_one_is_recorded(live_world):
    workflow = live_world.workflow()
    results = at_once(*[lambda: join(live_world, workflow)] * 4)
    assert not [result for result in results if isinstance(result, Exception)], results
    assert events(workflow.ref).count("workflow.joined") == 1
