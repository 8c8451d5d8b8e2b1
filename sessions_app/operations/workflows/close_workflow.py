"""Close a workflow, which ends all access that is bound to it."""

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
from sessions_app.operations.grants.lock_descendants import lock_descendants
from sessions_app.operations.grants.transition import end_together
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.requests.lapse_request import lapse_request

SOURCE = Actor.system("workflows")


def close_workflow(*, workflow_id: int, actor: Identity | None, now: dt.datetime, note: str = "") -> Workflow:
    """Close what the actor may see; whoever may see it may, because closing only takes access away.

    ``actor`` None is the work's source, or its planned end. Every grant bound to it begins to end in the same transaction,
    running commands included, and requests that wait lapse. Closing what is closed changes nothing. Raises NotFound,
    InvalidInput (the note).
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
        # All are locked before the first is ended: its entry keeps the record locked until the end, and who holds a
        # grant may be waiting for the record.
        grants = list(
            Grant.objects.not_ended()
            .select_for_update(of=("self",))
            .select_related("holder")
            .filter(workflow=workflow)
            .order_by("pk")
        )
        parents = {one.parent_id for one in lock_descendants(grant_ids=[grant.pk for grant in grants])}
        requests = list(
            AccessRequest.objects.select_for_update(of=("self",))
            .filter(workflow=workflow, state=RequestState.PENDING)
            .select_related(
                "requester__owner", "policy", "cluster", "command_set_version__command_set", "extends"
            )
            .order_by("pk")
        )
        _end(grants, parents, workflow, actor, now)
        _tell_holders(workflow, [grant.holder for grant in grants if grant.holder != actor], note, now)
        by = actor_of(actor) if actor else SOURCE
        for request in requests:
            lapse_request(
                request=request, workflow=workflow, why=f"{workflow.ref} is closed", by=by, now=now, but=actor
            )
        record_end(
            event=Event.WORKFLOW_CLOSED, actor=by, object_type="workflow", object_ref=workflow.ref, now=now,
            data={"note": note, "grants_ended": len(grants), "requests_lapsed": len(requests)},
        )  # fmt: skip
    return workflow


def _end(
    grants: list[Grant],
    parents: set[int | None],
    workflow: Workflow,
    actor: Identity | None,
    now: dt.datetime,
) -> None:
    """End all that is bound to the workflow, with what was delegated from it. What its source ends, where there may be many,
    ends in one statement, but for grants that others hang on.
    """
    running = (GrantState.PROVISIONING, GrantState.ACTIVE)
    together = [
        grant for grant in grants if actor is None and grant.state in running and grant.pk not in parents
    ]
    if together:
        end_together(grants=together, reason=EndReason.WORKFLOW_CLOSED, note=workflow.ref, now=now)
        for grant in together:
            enqueue("grants.deprovision", grant_id=grant.pk)
    done = {grant.pk for grant in together}
    for grant in grants:
        if grant.pk not in done:
            end_grant(
                grant_id=grant.pk, actor=actor, reason=EndReason.WORKFLOW_CLOSED, now=now, note=workflow.ref
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
