"""The workflow behind a request, and the requester's role in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from sessions_app.models import (
    AccessRequest,
    Workflow,
)
from sessions_app.queries.requests import facts
from sessions_app.queries.workflows.doings import doing_of, roles_in


class Behind(NamedTuple):
    """The workflow behind a request.

    ``planned`` means that the workflow has a planned time. ``covers``: the planned time includes all of the
    requested time. ``part`` is the requester's role as a phrase. ``bound`` lists the parameters taken from
    the workflow, each with the name and value of the fact. ``doing`` is a sentence, without its period, about
    who opened and changed the workflow, as far as known.
    """

    workflow: Workflow
    planned: bool
    covers: bool
    part: str
    bound: Sequence[tuple[str, str, str]]
    doing: str

    @property
    def assigned(self) -> str:
        """The people assigned to the workflow."""
        return str(self.workflow.assignee or ", ".join(self.workflow.assigned) or "no one")


# If the requester has several roles in the workflow, the first role in this list is shown.
_PARTS = {
    "assignee": "is assigned to it",
    "on_call": "is on call for it",
    "member": "is working on it",
}


def behind_of(request: AccessRequest, starts_at: dt.datetime) -> Behind | None:
    """Return the workflow behind a request that would start at the given time; None if there is none."""
    workflow = request.workflow
    if workflow is None:
        return None
    roles = roles_in(workflow, request.requester)
    end = starts_at + dt.timedelta(seconds=request.duration)
    taken = facts.workflow_parameters(request.command_set_version)
    return Behind(
        workflow,
        planned=bool(workflow.starts_at or workflow.ends_at),
        covers=(workflow.starts_at or starts_at) <= starts_at and end <= (workflow.ends_at or end),
        part=next((said for role, said in _PARTS.items() if role in roles), "has no known role in it"),
        bound=[(name, fact, request.parameters.get(name, "")) for name, fact in taken.items()],
        doing=doing_of(request.requester, workflow).said(workflow.ref, str(request.requester)),
    )
