"""Join a workflow."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound
from sessions_app.models import Workflow, WorkflowState


class WorkflowClosed(Conflict):
    """The workflow is closed permanently. Open a new workflow."""

    code = "workflow_closed"


def join_workflow(*, workflow_id: int, actor: Identity, now: dt.datetime) -> Workflow:
    """Make the actor a member of an open workflow that the actor can see. Joining twice changes nothing.
    Raises NotFound, WorkflowClosed.
    """
    with transaction.atomic():
        visible = Workflow.objects.visible_to(actor)
        workflow = visible.select_for_update(no_key=True, of=("self",)).filter(pk=workflow_id).first()
        if workflow is None:
            raise NotFound("Workflow not found.")
        if workflow.state == WorkflowState.CLOSED:
            raise WorkflowClosed(f"{workflow.ref} is closed.", hint="Open a new workflow.")
        if not workflow.members.filter(pk=actor.pk).exists():
            workflow.members.add(actor)
            record(
                event=Event.WORKFLOW_JOINED,
                actor=actor_of(actor),
                object_type="workflow",
                object_ref=workflow.ref,
                now=now,
                data={},
            )
    return workflow
