"""Open a piece of work that access can be bound to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import InvalidInput
from broker.kernel.text import checked_text
from sessions_app.models import Cluster, Severity, Workflow, WorkflowKind

_PREFIX = {WorkflowKind.INCIDENT: "INC"}


def open_workflow(
    *, kind: str, title: str, severity: str, clusters: Sequence[str], actor: Identity, now: dt.datetime
) -> Workflow:
    """Open an incident on clusters that the actor may see, under the next free reference (INC-12).

    Raises InvalidInput, which names the field.
    """
    title = checked_text(title, field="title", longest=200)
    if not title:
        raise InvalidInput("Say in a few words what is wrong.", fields={"title": ["Needed."]})
    if kind not in WorkflowKind.values:
        raise InvalidInput("There is no such kind of work.", fields={"kind": [_one_of(WorkflowKind.values)]})
    if severity not in Severity.values:
        raise InvalidInput("There is no such severity.", fields={"severity": [_one_of(Severity.values)]})
    touched = _clusters(clusters, actor)
    with transaction.atomic():
        workflow = Workflow.objects.create(
            kind=kind, ref=f"{_PREFIX[WorkflowKind(kind)]}-{_next_number()}", title=title, severity=severity,
            opened_at=now, opened_by=actor,
        )  # fmt: skip
        workflow.clusters.set(touched)
        record(
            event=Event.WORKFLOW_OPENED, actor=actor_of(actor), object_type="workflow", object_ref=workflow.ref,
            now=now, data={"kind": kind, "title": title, "severity": severity,
                           "clusters": [cluster.name for cluster in touched]},
        )  # fmt: skip
    return workflow


def _clusters(names: Sequence[str], actor: Identity) -> list[Cluster]:
    found = {
        cluster.name: cluster for cluster in Cluster.objects.live().visible_to(actor).filter(name__in=names)
    }
    if not names or set(names) - set(found):
        unknown = ", ".join(sorted(set(names) - set(found)))
        raise InvalidInput(
            f"There is no cluster {unknown} that you may see."
            if unknown
            else "Say which clusters it touches.",
            fields={"clusters": [f"Unknown: {unknown}." if unknown else "Choose at least one."]},
        )
    return sorted(found.values(), key=lambda cluster: cluster.name)


def _one_of(values: Sequence[str]) -> str:
    return f"One of: {', '.join(values)}."


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('sessions_app_workflow_number')")
        (number,) = cursor.fetchone()
    return int(number)
