"""Read a workflow from its source, by a reference that a person entered."""

from __future__ import annotations

import datetime as dt

from accounts.models import Identity
from sessions_app.models import Workflow
from sessions_app.operations.workflows.read_workflow import UnknownWorkflow, read_workflow
from sessions_app.queries.workflows.workflows import source_for, split_ref, workflow_for


def read_named_workflow(*, reader: Identity, ref: str, now: dt.datetime) -> Workflow:
    """Return the workflow with its current status at the source, if the reader can see the workflow or may
    query the source.

    Raises UnknownWorkflow, SourceUnreadable.
    """
    name, _ = split_ref(ref)
    if workflow_for(reader, ref) is None and (not name or source_for(reader, name) is None):
        raise UnknownWorkflow(
            "Workflow not found.", hint="Enter the workflow's reference, such as desk:TKT-9."
        )
    return read_workflow(ref=ref, now=now)
