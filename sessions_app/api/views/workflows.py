"""Workflows: list, open, join and close them."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from broker.kernel import clock
from sessions_app.api import reads
from sessions_app.api.bodies import CloseWorkflow, NewWorkflow, Nothing
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfWorkflows
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.workflows import WorkflowShape
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.operations.workflows.join_workflow import join_workflow
from sessions_app.operations.workflows.open_workflow import open_workflow


class Workflows(Endpoint):
    """The workflows that the caller may see."""

    scope: ClassVar[str] = Scope.REQUEST

    @described(paged(WorkflowShape), query=OfWorkflows)
    def get(self, request: Request) -> Response:
        """List the workflows on clusters that you can see, newest first."""
        query = self.query(OfWorkflows)
        found = reads.workflows(self.identity)
        found = found.filter(**{name: query[name] for name in ("state", "kind") if name in query})
        return self.page(found, WorkflowShape, query)

    @described(WorkflowShape, body=NewWorkflow, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Open a workflow: an incident, a change, a ticket or a task."""
        opened = open_workflow(actor=self.identity, now=clock.now(), **self.body(NewWorkflow))
        found = reads.workflow_of(self.identity, opened.ref)
        return self.answer(WorkflowShape, found, status=201, Location=f"/api/v1/workflows/{opened.ref}")


class OneWorkflow(Endpoint):
    """One workflow."""

    @described(WorkflowShape)
    def get(self, request: Request, ref: str) -> Response:
        """Get a workflow."""
        return self.answer(WorkflowShape, reads.workflow_of(self.identity, ref))


class WorkflowJoin(Endpoint):
    """Joins a workflow."""

    scope: ClassVar[str] = Scope.REQUEST

    @described(WorkflowShape, body=Nothing)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Join a workflow."""
        self.body(Nothing)
        found = reads.workflow_of(self.identity, ref)
        join_workflow(workflow_id=found.pk, actor=self.identity, now=clock.now())
        return self.answer(WorkflowShape, reads.workflow_of(self.identity, ref))


class WorkflowClose(Endpoint):
    """Closes a workflow."""

    scope: ClassVar[str] = Scope.END

    @described(WorkflowShape, body=CloseWorkflow)
    @once
    def post(self, request: Request, ref: str) -> Response:
        """Close a workflow permanently. All access bound to the workflow ends immediately, including running
        commands.
        """
        sent = self.body(CloseWorkflow)
        found = reads.workflow_of(self.identity, ref)
        close_workflow(workflow_id=found.pk, actor=self.identity, now=clock.now(), **sent)
        return self.answer(WorkflowShape, reads.workflow_of(self.identity, ref))
