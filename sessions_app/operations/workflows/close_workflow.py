"""Close a workflow, which ends all access bound to it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.backlog import record_end
from broker.audit.events import Event
from broker.kernel.enqueue import enqueue
from broker.kernel.errors import NotFound
from broker.kernel.text import checked_text
from sessions_app.models import (
    AccessRequest,
    EndReason,
    Grant,
    GrantState,
    RequestState,
    Workflow,
    WorkflowState,
)
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.lock_to_end import AT_ONCE, lock_to_end
from sessions_app.operations.grants.transition import end_together
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.workflows.lapse_request import lapse_request

SOURCE = Actor.system("workflows")


def close_workflow(*, workflow_id: int, actor: Identity | None, now: dt.datetime, note: str = "") -> Workflow:
    """Close a workflow that the actor can see.

    No other permission is needed, because closing only ends access. ``actor`` None means that its source
    closed it, or that its planned end has come. In the same transaction, every grant bound to the workflow
    starts to end, running commands are cut, and pending requests expire. A workflow that is already closed
    does not change. Raises NotFound, InvalidInput (invalid note).
    """
    note = checked_text(note, field="note")
    with transaction.atomic():
        visible = Workflow.objects.visible_to(actor) if actor else Workflow.objects.all()
        workflow = visible.select_for_update(no_key=True, of=("self",)).filter(pk=workflow_id).first()
        if workflow is None:
            raise NotFound("Workflow not found.")
        if workflow.state == WorkflowState.CLOSED:
            return workflow
        workflow.state, workflow.closed_at, workflow.closed_by = WorkflowState.CLOSED, now, actor
        workflow.close_note = note
        workflow.save(update_fields=["state", "closed_at", "closed_by", "close_note"])
        bound = Grant.objects.not_ended().filter(workflow=workflow)
        locked = lock_to_end(grant_ids=bound.values_list("pk", flat=True))
        grants = list(bound.select_related("holder").order_by("pk"))
        requests = list(
            AccessRequest.objects.select_for_update(no_key=True, of=("self",))
            .filter(workflow=workflow, state=RequestState.PENDING)
            .select_related(
                "requester__owner", "policy", "cluster", "command_set_version__command_set", "extends"
            )
            .order_by("pk")
        )
        _end(grants, locked, workflow, actor, now)
        _tell_holders(workflow, [grant.holder for grant in grants if grant.holder != actor], note, now)
        by = actor_of(actor) if actor else SOURCE
        for request in requests:
            lapse_request(
                request=request, workflow=workflow, why=f"{workflow.ref} is closed", by=by, now=now, but=actor
            )
        record_end(
            event=Event.WORKFLOW_CLOSED,
            actor=by,
            object_type="workflow",
            object_ref=workflow.ref,
            now=now,
            data={"note": note, "grants_ended": len(grants), "requests_lapsed": len(requests)},
        )
    return workflow


def _end(
    grants: list[Grant],
    locked: set[int],
    workflow: Workflow,
    actor: Identity | None,
    now: dt.datetime,
) -> None:
    """End all grants bound to the workflow, and those delegated from them.

    A source can end many grants at the same time. They end in one statement, except for grants with delegated
    grants.
    """
    running = (GrantState.PROVISIONING, GrantState.ACTIVE)
    below = Grant.objects.not_ended().filter(parent__in=grants)
    alone = locked - set(below.values_list("parent_id", flat=True))
    together = [grant for grant in grants if actor is None and grant.state in running and grant.pk in alone]
    if together:
        end_together(grants=together, reason=EndReason.WORKFLOW_CLOSED, note=workflow.ref, now=now)
        for grant in together:
            enqueue("grants.deprovision", grant_id=grant.pk)
    done = {grant.pk for grant in together}
    for grant in grants:
        if grant.pk not in done:
            end_grant(
                grant_id=grant.pk,
                actor=actor,
                reason=EndReason.WORKFLOW_CLOSED,
                now=now,
                note=workflow.ref,
                patience=AT_ONCE,
            )


def _tell_holders(workflow: Workflow, holders: list[Identity], note: str, now: dt.datetime) -> None:
    notify(
        people=holders,
        event=Event.WORKFLOW_CLOSED,
        subject=f"{workflow.ref} was closed and your access ended",
        body=note,
        path=f"/workflows/{workflow.ref}/",
        now=now,
    )
