"""Open a workflow that access can be bound to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.names import canonical_username
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput
from broker.kernel.text import checked_text
from sessions_app.models import Cluster, Severity, Workflow, WorkflowKind
from sessions_app.operations.workflows.errors import BoundToOtherWorkflow
from sessions_app.policy import references
from sessions_app.workflows.base import LATEST

PREFIX = {WorkflowKind(kind): prefix for kind, prefix in references.PREFIXES.items()}
LONGEST_CHANGE = dt.timedelta(days=31)


def open_workflow(
    *,
    kind: str,
    title: str,
    clusters: Sequence[str],
    actor: Identity,
    now: dt.datetime,
    severity: str = "",
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    assignee: str = "",
) -> Workflow:
    """Open a workflow on clusters that the actor can see, under the next free reference (INC-12, CHG-3,
    TKT-7, TSK-2).

    An incident has a severity. A change has a planned start and end, which limit the time of access for the
    change. All kinds except incidents can have an assignee, given by username. Only a source can open a
    pipeline run. Raises InvalidInput, which names the field, and BoundToOtherWorkflow for a token that is
    bound to a workflow, because such a token could not see the new workflow.
    """
    if actor.bound_to:
        raise BoundToOtherWorkflow(
            f"This token is bound to {actor.bound_to} and can't open other workflows.",
            hint="Use a token that is not bound to a workflow.",
        )
    title = _checked_title(kind, title)
    if kind not in PREFIX:
        raise InvalidInput("Unknown kind of workflow.", fields={"kind": [_one_of(list(PREFIX))]})
    _check_severity(kind, severity)
    _check_time(kind, starts_at, ends_at, now)
    given = _assignee(kind, assignee)
    touched = _clusters(clusters, actor)
    with transaction.atomic():
        workflow = Workflow.objects.create(
            kind=kind,
            ref=f"{PREFIX[WorkflowKind(kind)]}-{_next_number()}",
            title=title,
            severity=severity,
            opened_at=now,
            opened_by=actor,
            starts_at=starts_at,
            ends_at=ends_at,
            assignee=given,
        )
        workflow.clusters.set(touched)
        _record(workflow, touched, actor)
    return workflow


def _checked_title(kind: str, title: str) -> str:
    title = checked_text(title, field="title", longest=200)
    if not title:
        raise InvalidInput(
            "Describe the problem in a few words."
            if kind == WorkflowKind.INCIDENT
            else "Describe the workflow in a few words.",
            fields={"title": ["Required."]},
        )
    return title


def _record(workflow: Workflow, clusters: Sequence[Cluster], opener: Identity) -> None:
    planned = {"starts_at": workflow.starts_at, "ends_at": workflow.ends_at}
    record(
        event=Event.WORKFLOW_OPENED,
        actor=actor_of(opener),
        object_type="workflow",
        object_ref=workflow.ref,
        now=workflow.opened_at,
        data={
            "kind": workflow.kind,
            "title": workflow.title,
            "severity": workflow.severity,
            "clusters": [cluster.name for cluster in clusters],
            **{name: moment.isoformat() for name, moment in planned.items() if moment},
            **({"assignee": workflow.assignee.username} if workflow.assignee else {}),
        },
    )


def _check_severity(kind: str, severity: str) -> None:
    if severity not in Severity.values if kind == WorkflowKind.INCIDENT else severity:
        allowed = (
            _one_of(Severity.values) if kind == WorkflowKind.INCIDENT else "Only incidents have a severity."
        )
        raise InvalidInput("Unknown severity.", fields={"severity": [allowed]})


def _check_time(
    kind: str, starts_at: dt.datetime | None, ends_at: dt.datetime | None, now: dt.datetime
) -> None:
    if kind != WorkflowKind.CHANGE:
        if starts_at or ends_at:
            raise InvalidInput("Only changes have a planned time.", fields={"starts_at": ["Remove it."]})
        return
    if starts_at is None or ends_at is None:
        field = "starts_at" if starts_at is None else "ends_at"
        raise InvalidInput("Enter when the change starts and ends.", fields={field: ["Required."]})
    if ends_at <= starts_at or ends_at <= now:
        raise InvalidInput(
            "A change must end after it starts, and in the future.",
            fields={"ends_at": ["Choose a later end."]},
        )
    if ends_at > LATEST:
        raise InvalidInput(
            f"Dates after {LATEST.year} are not supported.", fields={"ends_at": ["Choose an earlier end."]}
        )
    if ends_at - starts_at > LONGEST_CHANGE:
        raise InvalidInput(
            f"A change can last at most {LONGEST_CHANGE.days} days.",
            fields={"ends_at": ["Choose an earlier end."]},
        )


def _assignee(kind: str, name: str) -> Identity | None:
    if not name:
        return None
    if kind == WorkflowKind.INCIDENT:
        raise InvalidInput(
            "Incidents have no assignee; people join them.", fields={"assignee": ["Remove it."]}
        )
    found = Identity.objects.active().filter(username=canonical_username(name)).first()
    if found is None:
        raise InvalidInput(f"Unknown user {name}.", fields={"assignee": ["Enter a username."]})
    return found


def _clusters(names: Sequence[str], actor: Identity) -> list[Cluster]:
    found = {
        cluster.name: cluster for cluster in Cluster.objects.live().visible_to(actor).filter(name__in=names)
    }
    if not names or set(names) - set(found):
        unknown = ", ".join(sorted(set(names) - set(found)))
        raise InvalidInput(
            f"Unknown cluster {unknown}." if unknown else "Select the affected clusters.",
            fields={"clusters": [f"Unknown: {unknown}." if unknown else "Choose at least one cluster."]},
        )
    return sorted(found.values(), key=lambda cluster: cluster.name)


def _one_of(values: Sequence[str]) -> str:
    return f"Use one of: {', '.join(values)}."


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('sessions_app_workflow_number')")
        (number,) = cursor.fetchone()
    return int(number)
